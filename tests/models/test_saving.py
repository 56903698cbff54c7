"""A saved file is loaded by a new process, without `custom_objects`."""

import subprocess
import sys

import keras
import numpy as np
import pytest

from tests.helpers.layer_cases import KINDS, model_of_layers
from tests.helpers.numeric import (
    ONE_STEP,
    assert_equal,
    perturb,
    random_images,
    randomize,
    relative_error,
    to_array,
)

# Relative to the largest output. The second process runs the same operations.
TOLERANCE = 1e-6

NEW_PROCESS = """
import sys
import keras
import keras_inception_layers
import numpy as np

folder = sys.argv[1]
model = keras.saving.load_model(f"{folder}/model.keras")
images = np.load(f"{folder}/images.npy")
outputs = map(keras.ops.convert_to_numpy, keras.tree.flatten(model(images)))
state = [keras.ops.convert_to_numpy(v) for v in model.optimizer.variables]
np.savez(f"{folder}/outputs.npz", *outputs)
np.savez(f"{folder}/state.npz", *state)
"""


@pytest.mark.one_backend  # tests/backends has it under every backend
def test_a_new_process_loads_the_trained_model(tmp_path):
    model = randomize(model_of_layers(KINDS))
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
    state = [to_array(variable) for variable in model.optimizer.variables]
    assert len(state) == 2 + 2 * len(model.trainable_weights)
    with np.load(tmp_path / "state.npz") as loaded:
        for key, value in zip(loaded.files, state, strict=True):
            assert_equal(loaded[key], value)

    def largest_error():
        outputs = keras.tree.flatten(model(images))
        with np.load(tmp_path / "outputs.npz") as loaded:
            pairs = zip(loaded.files, outputs, strict=True)
            return max(relative_error(loaded[k], x) for k, x in pairs)

    assert largest_error() < TOLERANCE
    perturb(model.trainable_weights[0], relative=1e-3)
    assert largest_error() > TOLERANCE
