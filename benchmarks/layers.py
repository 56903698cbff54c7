"""The hybrid against the notebook's plain functional model: is it as fast?

The same network without its top, on 224 x 224 x 1 images, twice: made of this
package's layers, and written out layer by layer. A step of one and a step of
the other take turns, so that whatever else the machine does falls on both.

    python benchmarks/layers.py [--batch-size 4] [--steps 10]
"""

import argparse
import time

import keras
import numpy as np
from notebook_model import VGG16_Inception

from keras_inception_layers import VGG16Inception
from keras_inception_layers.porting import port_notebook_weights


def main():
    """Measure, and print one row a kind of step."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--steps", type=int, default=10)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    size = arguments.batch_size
    images = rng.standard_normal((size, 224, 224, 1), dtype="float32")
    features = rng.standard_normal((size, 512), dtype="float32")

    plain = VGG16_Inception(include_top=False)
    ours = port_notebook_weights(plain, VGG16Inception(include_top=False))
    for model in (plain, ours):
        model.compile(keras.optimizers.SGD(1e-6), "mse", jit_compile=False)
    kinds = {
        "forward pass": lambda model: model.predict_on_batch(images),
        "training step": lambda model: model.train_on_batch(images, features),
    }
    print(
        f"VGG16Inception(include_top=False), batch of {size}, "
        f"{arguments.steps} steps each, Keras {keras.__version__} on "
        f"{keras.backend.backend()}"
    )
    row = "{:<14} {:>12} {:>14} {:>7} {:>15}"
    print(row.format("", "layers [ms]", "notebook [ms]", "ratio", "of ratios"))
    for kind, step in kinds.items():
        times = interleaved(step, (ours, plain), arguments.steps)
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
