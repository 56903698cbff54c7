"""A small model and its bundle, exported once for all tests that only read it.

Frameworks are imported within the fixtures: most tests need none.
"""

import functools
import shutil
import sys

import pytest


@pytest.fixture(scope="session", autouse=True)
def _shared_converter():
    """Convert to TFLite in child processes that are started once.

    `tests/test_smoke.py` and the tests of the command start their own.
    """
    if "keras" not in sys.modules:
        yield
        return
    from tests.helpers.tflite_converter import shared_converter

    with shared_converter():
        yield


@pytest.fixture(autouse=True)
def _short_search(monkeypatch):
    """Search inputs for a sixth of the time; tests of the search take all."""
    module = sys.modules.get("keras_inception_export.pipeline.make_probes")
    if module:
        short = functools.partial(module.search_pixels, seconds=0.5)
        monkeypatch.setattr(module, "search_pixels", short)


@pytest.fixture(scope="session")
def saved(tmp_path_factory):
    """A small classifier in a `.keras` file."""
    from tests.helpers.format_cases import small_model

    path = tmp_path_factory.mktemp("saved") / "small.keras"
    small_model().save(path)
    return path


@pytest.fixture(scope="session")
def hybrid():
    """The features of VGG16Inception on small images, with random weights."""
    from keras_inception_layers import VGG16Inception
    from tests.helpers.numeric import randomize

    return randomize(VGG16Inception(include_top=False, input_shape=(32, 32, 1)))


@pytest.fixture(scope="session")
def published(saved, tmp_path_factory):
    """The bundle of `saved` in every default format; not to be changed."""
    from keras_inception_export import export_model

    folder = tmp_path_factory.mktemp("published") / "small"
    export_model(saved, folder)
    return folder


@pytest.fixture
def bundle(published, tmp_path):
    """A copy of the bundle that a test may change."""
    return shutil.copytree(published, tmp_path / "bundle")
