"""Write model files under one backend, then read those of all backends.

    python -m tests.helpers.backends.exchange FOLDER

`write` saves models and their outputs, one of them after a training step.
The process then waits for a line of its standard input: all backends have
written. `read` loads the files of every backend and saves the outputs; those
of its own file once more, with every moving variance perturbed.
"""

import sys
from pathlib import Path

import keras
import numpy as np

from keras_inception_layers import ConvBN, InceptionV1Block
from tests.helpers.backends.processes import BACKENDS
from tests.helpers.initial_values import quick_initial_values
from tests.helpers.layer_cases import FILTERS, KINDS, model_of_layers
from tests.helpers.numeric import (
    ONE_STEP,
    perturb,
    random_images,
    randomize,
    to_array,
)

MODELS = ("trained", "every_kind")


def trained():
    """Return a small model after a training step, with its optimizer."""
    image = keras.Input((12, 12, 1), name="image")
    x = InceptionV1Block(FILTERS)(ConvBN(4, 3)(image))
    model = keras.Model(image, keras.layers.GlobalMaxPooling2D()(x))
    randomize(model).compile(keras.optimizers.Adam(1e-4), "mse", **ONE_STEP)
    targets = random_images((4, *model.output_shape[1:]))
    model.train_on_batch(random_images((4, 12, 12, 1)), targets)
    return model


def outputs(model):
    """Return the outputs in inference on the images of every backend."""
    images = random_images((3, *model.input_shape[1:]), seed=7)
    return [to_array(x) for x in keras.tree.flatten(model(images))]


def write(folder):
    backend = keras.backend.backend()
    for name in MODELS:
        trains = name == "trained"
        model = trained() if trains else randomize(model_of_layers(KINDS))
        model.save(folder / f"{name}_{backend}.keras")
        np.savez(folder / f"{name}_{backend}_by_{backend}.npz", *outputs(model))


def read(folder):
    backend = keras.backend.backend()
    for name in MODELS:
        for writer in BACKENDS:
            path = folder / f"{name}_{writer}.keras"
            model = keras.saving.load_model(path)
            by = f"{name}_{writer}_by_{backend}"
            np.savez(folder / f"{by}.npz", *outputs(model))
            if name == "trained":
                assert int(model.optimizer.iterations) == 1
            if writer == backend:
                for weight in model.weights:
                    if weight.name == "moving_variance":
                        perturb(weight)
                np.savez(folder / f"{by}_perturbed.npz", *outputs(model))


if __name__ == "__main__":
    with quick_initial_values():
        write(Path(sys.argv[1]))
        print("written", flush=True)
        sys.stdin.readline()
        read(Path(sys.argv[1]))
