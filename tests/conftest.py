"""Fixtures of all tests: a fixed seed, and Keras's settings restored.

Keras is imported only if a test module imports it, so that the tests of rooms
without a framework start at once.
"""

import contextlib
import gc
import sys

import pytest

# Few tests that take minutes: parallel workers start with them.
LONG_FILES = (
    "test_readme.py",
    "test_keras_corpus.py",
    "test_several_machines.py",
)


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.name not in LONG_FILES)


def pytest_collection_finish():
    """Exclude the frameworks' 400,000 objects from garbage collection."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _backend_helpers():
    with contextlib.ExitStack() as stack:
        if "keras" in sys.modules:
            from tests.helpers.channels_first import channels_first_convolutions
            from tests.helpers.initial_values import quick_initial_values

            stack.enter_context(quick_initial_values())
            stack.enter_context(channels_first_convolutions())
        yield


@pytest.fixture(autouse=True)
def _keras_settings():
    keras = sys.modules.get("keras")
    if keras is None:
        yield
        return
    keras.utils.set_random_seed(0)
    image_data_format = keras.config.image_data_format()
    dtype_policy = keras.config.dtype_policy()
    yield
    keras.config.set_image_data_format(image_data_format)
    keras.config.set_dtype_policy(dtype_policy)


@pytest.fixture
def float64():
    """Enable float64 under JAX, where it is disabled by default."""
    import keras

    with contextlib.ExitStack() as stack:
        if keras.backend.backend() == "jax":
            import jax

            stack.enter_context(jax.enable_x64(True))
        yield
