"""The model and data of distributed training, and its expected results.

Two references run in one process. `whole` trains on each global batch.
`halves` does what replicas without synchronized statistics do: each half of
the batch is normalized by itself, and the gradients are averaged.
"""

from typing import NamedTuple

import keras
import numpy as np

from keras_inception_layers import InceptionV1Block
from tests.helpers.numeric import random_images, to_array

STEPS = 4
REPLICAS = 2
RATE = 0.05
CASES = {
    "plain": {"use_batch_norm": False},
    "norm": {"momentum": 0.9},
    "synchronized": {"momentum": 0.9, "synchronized": True},
}


def build_model(case):
    """Return a seeded model, compiled for plain gradient descent."""
    options = CASES[case]
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            InceptionV1Block(((2,), (3, 4), (2, 3), (2,)), **options),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(3),
        ]
    )
    model.compile(keras.optimizers.SGD(RATE), "mse")
    return model


def batches():
    """Return the global batches; each has brighter images than the last."""
    return [
        (
            random_images((8, 8, 8, 1), seed) + seed / STEPS,
            random_images((8, 3), seed + STEPS),
        )
        for seed in range(STEPS)
    ]


def part(array, replica):
    """Return one replica's part of a global batch."""
    return np.split(array, REPLICAS)[replica]


class Run(NamedTuple):
    """The result of a training.

    Args:
        losses: one loss per step.
        trainable: values of all trainable weights, concatenated.
        statistics: values of all moving statistics, concatenated.
    """

    losses: list[float]
    trainable: np.ndarray
    statistics: np.ndarray


def whole(case):
    """Train in one process."""
    model = build_model(case)
    losses = [float(model.train_on_batch(x, y)) for x, y in batches()]
    return run_of(model, losses)


def halves(case, gradients):
    """Train on halves of each batch, each normalized by itself.

    Args:
        case: a key of `CASES`.
        gradients: called with the model and a batch, returns the loss and the
            gradients of the trainable weights.

    Returns:
        One run per replica, with the moving statistics of that replica.
    """
    model = build_model(case)
    statistics = [[to_array(x) for x in model.non_trainable_weights]] * REPLICAS
    losses = []
    for images, labels in batches():
        steps = []
        for replica in range(REPLICAS):
            assign(model.non_trainable_weights, statistics[replica])
            steps.append(
                gradients(model, part(images, replica), part(labels, replica))
            )
            statistics[replica] = [
                to_array(x) for x in model.non_trainable_weights
            ]
        losses.append(np.mean([loss for loss, _ in steps]))
        slopes = zip(*(gradients for _, gradients in steps), strict=True)
        for weight, slope in zip(model.trainable_weights, slopes, strict=True):
            slope = np.mean([to_array(x) for x in slope], axis=0)
            weight.assign(to_array(weight) - RATE * slope)
    runs = []
    for values in statistics:
        assign(model.non_trainable_weights, values)
        runs.append(run_of(model, losses))
    return runs


def assign(weights, values):
    for weight, value in zip(weights, values, strict=True):
        weight.assign(value)


def run_of(model, losses):
    """Return the run of a trained model."""

    def joined(weights):
        values = [to_array(weight).ravel() for weight in weights]
        return np.concatenate([np.zeros(0, "float32"), *values])

    return Run(
        losses,
        joined(model.trainable_weights),
        joined(model.non_trainable_weights),
    )


def save(path, runs):
    """Write a dictionary of runs as arrays named `run/part`."""
    np.savez(
        path,
        **{
            f"{name}/{part}": value
            for name, run in runs.items()
            for part, value in run._asdict().items()
        },
    )


def load(path):
    """Return the dictionary of runs that `save` wrote."""
    with np.load(path) as file:
        names = {key.rpartition("/")[0] for key in file.files}
        return {
            name: Run(*(file[f"{name}/{part}"] for part in Run._fields))
            for name in names
        }
