"""Every test starts from the same seed and leaves Keras as it found it."""

import contextlib
import gc

import keras
import pytest

from tests.helpers.initial_values import quick_initial_values

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
    with quick_initial_values():
        yield


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
