"""Fixtures of all tests: a fixed seed, and Keras's settings restored.

Keras is imported only if a test module imports it, so that the tests of rooms
without a framework start at once.
"""

import contextlib
import gc
import sys

import hypothesis
import pytest

# The same few examples in every run, on machines of any speed.
hypothesis.settings.register_profile(
    "few",
    max_examples=4,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)
hypothesis.settings.register_profile(
    "thorough",
    hypothesis.settings.get_profile("few"),
    max_examples=1000,
    derandomize=False,
)
hypothesis.settings.load_profile("few")

# Parallel workers start with the files that take the longest, so that none of
# them waits for another one at the end.
LONG_FILES = (
    "test_several_machines.py",
    "test_documentation.py",
    "pipeline/test_export_model.py",
    "layers/test_options.py",
    "models/test_weights.py",
    "models/test_inception_arguments.py",
    "test_keras_corpus.py",
    "test_inception_v3.py",
    "quantization/test_scheme_writer.py",
    "test_conformance.py",
    "test_faults.py",
    "test_saving.py",
    "pipeline/test_reproducible.py",
    "test_notebook.py",
    "test_keras_applications.py",
    "test_vgg16_inception.py",
    "models/test_arguments.py",
    "test_googlenet.py",
    "pipeline/test_networks.py",
    "test_timm.py",
    "diagnosis/test_diagnose.py",
    "tflite/quantize/test_quantizer.py",
    "pipeline/test_changed_children.py",
    "verification/test_verify.py",
    "test_copies.py",
    "test_docstrings.py",
    "test_folding.py",
    "test_gptq.py",
    "test_vgg16.py",
    "test_torch.py",
)


def pytest_collection_modifyitems(items):
    def is_none_of(item):
        path = item.path.as_posix()
        return [not path.endswith(f"/{name}") for name in LONG_FILES]

    items.sort(key=is_none_of)


def pytest_collection_finish():
    """Exclude the frameworks' 400,000 objects from garbage collection."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _backend_helpers():
    with contextlib.ExitStack() as stack:
        if "keras" in sys.modules:
            from tests.helpers.initial_values import quick_initial_values
            from tests.helpers.kernels import every_kernel

            stack.enter_context(quick_initial_values())
            stack.enter_context(every_kernel())
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
