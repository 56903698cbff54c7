"""A quantizer that the tests of several modules share."""

import pytest


@pytest.fixture(scope="package")
def case(tmp_path_factory):
    """The classifier with its quantizer."""
    from tests.helpers.tflite_quantized import (
        Case,
        classifier,
        inference_model_of,
    )

    folder = tmp_path_factory.mktemp("classifier")
    return Case(inference_model_of(classifier()), folder)
