"""Every test starts from the same seed and leaves Keras as it found it."""

import keras
import pytest


@pytest.fixture(autouse=True)
def _settled_keras():
    keras.utils.set_random_seed(0)
    image_data_format = keras.config.image_data_format()
    dtype_policy = keras.config.dtype_policy()
    yield
    keras.config.set_image_data_format(image_data_format)
    keras.config.set_dtype_policy(dtype_policy)
