"""A converter that the tests of several modules share.

Nothing is imported before the fixture is used: the tests on models that are
built by hand need no framework.
"""

import pytest


@pytest.fixture(scope="package")
def shared_converter():
    """Convert in child processes that are started once."""
    from tests.helpers.tflite_converter import shared_converter

    with shared_converter():
        yield
