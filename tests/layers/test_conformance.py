"""Keras's own conformance suite, for every registered layer.

Under TensorFlow the suite needs NCHW convolutions in float32 and float16, which
few processors have: tests/helpers/kernels.py provides the missing ones.
The suite's training step takes most of the time, so that the tests run it
for one layer of each kind.
"""

import pytest
from keras.src.testing.test_case import TestCase

from keras_inception_layers.registration import registered_layers
from tests.helpers.layer_cases import CASES, KINDS, ordered

OTHERS = [name for name in CASES if name not in KINDS]


def test_every_registered_layer_has_a_case():
    covered = {type(case.make()).__name__ for case in CASES.values()}
    assert covered == set(registered_layers())


# Keras's suite trains on a generator and leaves `shuffle` at its default.
@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed:UserWarning")
@pytest.mark.parametrize(
    "data_format",
    [
        "channels_last",
        pytest.param("channels_first", marks=pytest.mark.one_backend),
    ],
)
@pytest.mark.parametrize("name", KINDS)
def test_layer_passes_the_suite_of_keras(name, data_format):
    run_suite(CASES[name], data_format)


@pytest.mark.one_backend
@pytest.mark.parametrize("name", OTHERS)
def test_layer_passes_the_suite_without_training(name):
    run_suite(CASES[name], "channels_last", run_training_check=False)


def run_suite(case, data_format, **options):
    TestCase().run_layer_test(
        case.make,
        {"data_format": data_format},
        input_shape=ordered(case.images, data_format),
        expected_output_shape=ordered(case.outputs, data_format),
        expected_output_dtype="float32",
        expected_num_trainable_weights=case.trainable,
        expected_num_non_trainable_weights=case.non_trainable,
        expected_num_losses=0,
        **options,
    )
