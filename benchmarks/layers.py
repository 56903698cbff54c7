"""Compare the speed of networks of our layers with plain Keras functions.

Each network is built twice, with the same weights: of this package's layers,
and layer by layer as in the notebook or in `keras.applications`. Steps of the
two alternate, so that other load on the machine affects both. On any backend:

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
    """One network in two implementations.

    Args:
        ours: builds it of this package's layers.
        name: name of the other implementation.
        theirs: builds the other implementation.
        port: copies the weights of the second model into the first.
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
# XLA does not make TensorFlow faster on a CPU; JAX is slow without it.
JIT_COMPILE = {"tensorflow": False, "jax": True, "torch": False}


def main():
    """Measure, and print one row per network and kind of step."""
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
    """Return the seconds of each step, one row per model.

    The first call of each is left out. The models alternate in going first.
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
