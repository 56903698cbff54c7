"""Keras's own conformance suite, for every registered layer.

Under TensorFlow the suite needs NCHW convolutions in float32 and float16, which
few processors have: tests/helpers/channels_first.py provides the missing ones.
"""

import pytest
from keras.src.testing.test_case import TestCase

from keras_inception_layers.registration import registered_layers
from tests.helpers.layer_cases import CASES, ordered

# Channels first, one layer of each kind: a unit, parallel and nested branches,
# a residual sum, a reduction, a classifier. The others run in CI.
CHANNELS_FIRST = (
    "ConvBN, padded",
    "InceptionV3ExpandedBlock",
    "InceptionResNetV2BlockC",
    "InceptionV3BlockB",
    "AuxiliaryClassifier",
)
RUNS = [
    pytest.param(
        name,
        data_format,
        marks=[pytest.mark.slow]
        if data_format == "channels_first" and name not in CHANNELS_FIRST
        else [],
    )
    for data_format in ("channels_last", "channels_first")
    for name in CASES
]


def test_every_registered_layer_has_a_case():
    covered = {type(case.make()).__name__ for case in CASES.values()}
    assert covered == set(registered_layers())


# Keras's suite trains on a generator and leaves `shuffle` at its default.
@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed:UserWarning")
@pytest.mark.parametrize(("name", "data_format"), RUNS)
def test_layer_passes_the_suite_of_keras(name, data_format):
    case = CASES[name]
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
