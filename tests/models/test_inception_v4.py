"""The folded copy of Inception v4.

Its outputs are compared with those of timm in tests/porting/test_timm.py.
"""

import pytest

from keras_inception_layers import InceptionV4, fold_batch_norm
from tests.helpers.numeric import (
    perturb,
    random_images,
    randomize,
    relative_error,
)

# Relative to the largest output. Measured: 7.8e-7.
FOLDED_TOLERANCE = 1e-5
SMALL = {"include_top": False, "input_shape": (75, 75, 3)}


@pytest.mark.one_backend
def test_folded_copy_equals_the_model():
    model = randomize(InceptionV4(**SMALL, convention="timm"))
    copy = fold_batch_norm(model)
    assert not [w for w in copy.weights if w.name.startswith("moving_")]
    images = random_images((1, 75, 75, 3))
    expected = model(images)
    assert relative_error(copy(images), expected) < FOLDED_TOLERANCE
    perturb(copy.get_layer("block_c_3").weights[-1])
    assert relative_error(copy(images), expected) > FOLDED_TOLERANCE
