"""A saved file, opened by a process that has only just started."""

import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_inception_layers import VGG16Inception
from keras_inception_layers.registration import registered_layers
from tests.helpers.layer_cases import CASES
from tests.helpers.numeric import (
    ONE_STEP,
    assert_equal,
    perturb,
    random_images,
    randomize,
    to_array,
)

NEW_PROCESS = """
import sys
import keras
import keras_inception_layers
import numpy as np

folder = sys.argv[1]
model = keras.saving.load_model(f"{folder}/model.keras")
images = np.load(f"{folder}/images.npy")
outputs = keras.tree.flatten(model.predict_on_batch(images))
state = [keras.ops.convert_to_numpy(v) for v in model.optimizer.variables]
np.savez(f"{folder}/outputs.npz", *outputs)
np.savez(f"{folder}/state.npz", *state)
"""


def every_layer_model():
    """Return a model with an output behind each of the table's layers."""
    inputs = keras.Input((27, 30, 3))
    outputs = [case.make()(inputs) for case in CASES.values()]
    model = keras.Model(inputs, outputs)
    assert set(registered_layers()) <= {type(x).__name__ for x in model.layers}
    return model


def hybrid():
    return VGG16Inception(include_top=False, input_shape=(32, 32, 1))


@pytest.mark.parametrize("make", [every_layer_model, hybrid])
def test_a_new_process_loads_what_was_trained(make, tmp_path):
    model = randomize(make())
    model.compile(keras.optimizers.Adam(1e-3), "mse", **ONE_STEP)
    images = random_images((2, *model.input_shape[1:]))
    model.train_on_batch(
        images, [random_images((2, *x.shape[1:])) for x in model.outputs]
    )
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "images.npy", images)
    subprocess.run(
        [sys.executable, "-c", NEW_PROCESS, tmp_path],
        check=True,
        cwd=tmp_path,
    )
    outputs = keras.tree.flatten(model.predict_on_batch(images))
    state = [to_array(variable) for variable in model.optimizer.variables]
    assert len(state) == 2 + 2 * len(model.trainable_weights)
    for name, expected in (("outputs", outputs), ("state", state)):
        with np.load(tmp_path / f"{name}.npz") as loaded:
            assert len(loaded.files) == len(expected)
            for key, value in zip(loaded.files, expected, strict=True):
                assert_equal(loaded[key], value)
    perturb(model.trainable_weights[0], relative=1e-5)
    moved = keras.tree.flatten(model.predict_on_batch(images))
    assert np.any(moved[0] != outputs[0])
