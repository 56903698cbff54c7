"""Keras's own conformance suite, for every registered layer."""

import pytest
from keras.src.testing.test_case import TestCase

from keras_inception_layers.registration import registered_layers
from tests.helpers.layer_cases import CASES, DATA_FORMATS, ordered


def test_every_registered_layer_has_a_case():
    covered = {type(case.make()).__name__ for case in CASES.values()}
    assert covered == set(registered_layers())


# Keras's suite trains on a generator and leaves `shuffle` at its default.
@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed:UserWarning")
@pytest.mark.parametrize("data_format", DATA_FORMATS)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_layer_conforms(case, data_format):
    TestCase().run_layer_test(
        case.make,
        {"data_format": data_format},
        input_shape=ordered(case.images, data_format),
        expected_output_shape=ordered(case.outputs, data_format),
        expected_output_dtype="float32",
        expected_num_trainable_weights=case.trainable,
        expected_num_non_trainable_weights=case.non_trainable,
        expected_num_losses=0,
    )
