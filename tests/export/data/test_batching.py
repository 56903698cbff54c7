"""Samples in batches."""

import numpy as np
import pytest

from keras_inception_export.data.batching import BATCH, batches, run


@pytest.mark.parametrize(
    ("number", "size", "sizes"),
    [
        (10, 4, [4, 4, 4]),
        (3, 4, [4]),
        (10, None, [10]),
        (33, None, [BATCH] * 3),
    ],
)
def test_all_samples_are_computed_once(number, size, sizes):
    seen = []

    def double(feeds):
        seen.append(len(feeds["x"]))
        return {"y": feeds["x"] * 2}

    rows = np.arange(float(number))
    np.testing.assert_array_equal(run(double, {"x": rows}, size)["y"], rows * 2)
    assert seen == sizes


def test_the_last_sample_pads_the_last_batch():
    rows = [list(batch["x"]) for batch in batches({"x": np.arange(5)}, 3)]
    assert rows == [[0, 1, 2], [3, 4, 4]]
