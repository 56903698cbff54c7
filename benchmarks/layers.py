"""The networks against the same ones in plain functions: are they as fast?

Each network twice, with the same weights: made of this package's layers, and
written out layer by layer, as the notebook and `keras.applications` have it. A
step of one and a step of the other take turns, so that whatever else the
machine does falls on both. On any backend:

    KERAS_BACKEND=jax python benchmarks/layers.py --network InceptionV3
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import keras
import numpy as np
from notebook_model import VGG16_Inception

from keras_inception_layers import InceptionV3, VGG16Inception
from keras_inception_layers.porting import (
    port_keras_applications_weights,
    port_notebook_weights,
)


class Pair(NamedTuple):
    """One network, made of layers and written out.

    Args:
        ours: makes it of this package's layers.
        name: of whoever wrote it out.
        theirs: makes it as they did.
        port: carries the weights of the second into the first.
    """

    ours: Callable[[], keras.Model]
    name: str
    theirs: Callable[[], keras.Model]
    port: Callable[[keras.Model, keras.Model], keras.Model]


NETWORKS = {
    "VGG16Inception": Pair(
        partial(VGG16Inception, include_top=False),
        "notebook",
        partial(VGG16_Inception, include_top=False),
        port_notebook_weights,
    ),
    "InceptionV3": Pair(
        partial(InceptionV3, convention="keras"),
        "applications",
        partial(keras.applications.InceptionV3, weights=None),
        port_keras_applications_weights,
    ),
}
# XLA does not help TensorFlow on a CPU, and JAX is nothing without it.
JIT_COMPILE = {"tensorflow": False, "jax": True, "torch": False}


def main():
    """Measure, and print one row a network and kind of step."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", choices=NETWORKS, action="append")
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--steps", type=int, default=10)
    arguments = parser.parse_args()
    for name in arguments.network or NETWORKS:
        measure(name, arguments.batch_size, arguments.steps)


def measure(name, size, steps):
    """Print the table of one network."""
    pair = NETWORKS[name]
    theirs = pair.theirs()
    ours = pair.port(theirs, pair.ours())
    backend = keras.backend.backend()
    for model in (ours, theirs):
        model.compile(
            keras.optimizers.SGD(1e-6), "mse", jit_compile=JIT_COMPILE[backend]
        )
    rng = np.random.default_rng(0)
    shapes = (ours.input_shape, ours.output_shape)
    images, targets = (
        rng.standard_normal((size, *shape[1:]), dtype="float32")
        for shape in shapes
    )
    kinds = {
        "forward pass": lambda model: model.predict_on_batch(images),
        "training step": lambda model: model.train_on_batch(images, targets),
    }
    print(
        f"\n{name}, {' x '.join(map(str, images.shape))}, {steps} steps each, "
        f"Keras {keras.__version__} on {backend}"
    )
    row = "{:<14} {:>12} {:>18} {:>7} {:>15}"
    print(row.format("", "layers [ms]", f"{pair.name} [ms]", "ratio", "half"))
    for kind, step in kinds.items():
        times = interleaved(step, (ours, theirs), steps)
        print(row.format(kind, *summary(times)))


def interleaved(step, models, steps):
    """Return the seconds of each step, one row a model, first calls left out.

    The two take turns in going first.
    """
    for model in models:
        step(model)
    seconds = np.zeros((len(models), steps))
    for number in range(steps):
        order = range(len(models))
        for index in order if number % 2 else reversed(order):
            start = time.perf_counter()
            step(models[index])
            seconds[index, number] = time.perf_counter() - start
    return seconds


def summary(seconds):
    """Return the medians, the median ratio and its middle half, as text."""
    ratios = seconds[0] / seconds[1]
    low, middle, high = np.percentile(ratios, (25, 50, 75))
    medians = np.median(seconds, axis=1) * 1000
    return (
        *(f"{median:.1f}" for median in medians),
        f"{middle:.3f}",
        f"{low:.3f} - {high:.3f}",
    )


if __name__ == "__main__":
    main()
