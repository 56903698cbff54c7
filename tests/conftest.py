"""Every test starts from the same seed and leaves Keras as it found it."""

import contextlib
import gc

import keras
import numpy as np
import pytest

# Of few tests and many minutes: two workers begin with them.
LONG_FILES = ("test_readme.py", "test_several_machines.py")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.name not in LONG_FILES)


def pytest_collection_finish():
    """Spare the garbage collector the 400,000 objects of the frameworks."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _quick_initial_values():
    """Let numpy draw them under JAX, which compiles a program for each shape.

    They depend on Keras's seeds as before; a network is built in a sixth of
    the time.
    """
    with pytest.MonkeyPatch.context() as patch:
        if keras.backend.backend() == "jax":
            patch.setattr(keras.src.backend.random, "uniform", _uniform)
        yield


def _uniform(shape, minval=0.0, maxval=1.0, dtype=None, seed=None):
    seed = keras.src.random.seed_generator.draw_seed(seed)
    values = np.random.default_rng(np.asarray(seed)).uniform(
        minval, maxval, shape
    )
    return keras.ops.convert_to_tensor(values, dtype)


@pytest.fixture(autouse=True)
def _settled_keras():
    keras.utils.set_random_seed(0)
    image_data_format = keras.config.image_data_format()
    dtype_policy = keras.config.dtype_policy()
    yield
    keras.config.set_image_data_format(image_data_format)
    keras.config.set_dtype_policy(dtype_policy)


@pytest.fixture
def float64():
    """Let JAX compute in float64, which it does only when it is told to."""
    with contextlib.ExitStack() as stack:
        if keras.backend.backend() == "jax":
            import jax

            stack.enter_context(jax.enable_x64(True))
        yield
