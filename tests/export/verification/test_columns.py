"""The columns of an output: their ranges, tolerances and noise."""

import numpy as np
import pytest

from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.verification.columns import (
    NOISE,
    Columns,
    columns_of,
    large_rows,
    largest_values,
    maxima_over,
    movement_of,
)
from tests.helpers.probes import GENERATOR, SPEC, joined, probes


def test_columns_of_a_batch_of_maps():
    reference = GENERATOR.normal(size=(2, 5, 5, 4)) * [1, 10, 100, 0]
    columns = columns_of(probes(reference), SPEC)["expected"]
    np.testing.assert_allclose(
        columns.scale, np.abs(reference).max(axis=(0, 1, 2))
    )
    assert columns.noise.tolist() == [False, False, False, True]


def test_the_tolerance_of_each_column():
    """Of columns that are 8, 4, 0, noise and small, from first principles."""
    spec = TensorSpec("y", (None, 5), "float32")
    reference = np.array([8, 4, 0, 1e-3, 1e-4]) * np.resize([1, -1], (6, 1))
    error = np.array([0, 3e-5, 0, 2e-4, 0])
    tiny = 16 * np.finfo("float32").tiny
    for factor in (8, 16):
        columns = columns_of(
            probes(reference, keras=reference + error), spec, factor
        )["expected"]
        assert columns.scale.tolist() == [8, 4, 0, 1e-3, 1e-4]
        assert columns.noise.tolist() == [False, False, True, True, False]
        np.testing.assert_allclose(
            columns.allowed,
            factor * np.array([3e-5, 3e-5, 2**-23, 2e-4, 2**-22 * 1e-4]) + tiny,
        )
        np.testing.assert_allclose(
            columns.keras_error, [3e-5, 3e-5, 0, 2e-4, 0], rtol=1e-3
        )
    still = columns_of(probes(0 * reference), spec)["expected"]
    np.testing.assert_array_equal(still.allowed, np.full(5, tiny))
    half = TensorSpec("y", (None, 5), "bfloat16")
    assert (columns_of(probes(reference), half)["expected"].allowed > 0).all()
    assert NOISE == 0.1


def test_the_range_of_a_column_with_few_values():
    """It is the column's largest share of the range of a regime, or all."""
    expected = np.array([[2.0, 1, 1, 1]] * 2 + [[2, 1, 0, 1], [2, 1, 0, 0]])
    few = np.array([[5.0, 4, 0.01, 0.01], [0, 4, 0, 0], [0, 4, 0, 0]])
    found = columns_of(
        joined(probes(expected), probes(few, regime="large")), SPEC
    )
    assert found["expected"].scale.tolist() == [2, 1, 2, 1]
    assert found["large"].scale.tolist() == [5, 4, 5, 2.5]


@pytest.mark.parametrize(
    ("error", "allowed", "noise", "worst"),
    (
        ((0.0, 0.5), (0, 1), (False, False), (0.5, 1)),
        ((1.0, 0.5), (0, 1), (False, False), (np.inf, 0)),
        ((0.3, 0.2), (1, 1), (False, False), (0.3, 0)),
        ((0.9, 0.5), (1, 1), (True, False), (0.5, 1)),
        ((1.0, 0.5), (1, 1), (True, False), (0.5, 1)),
        ((1.5, 0.5), (1, 1), (True, False), (1.5, 0)),
    ),
)
def test_the_worst_column(error, allowed, noise, worst):
    columns = Columns(
        np.ones(2), np.zeros(2), np.array(allowed), np.array(noise)
    )
    assert columns.worst(np.array(error)) == worst


def test_rows_as_large_as_a_sixteenth_of_the_range_count():
    rows = np.array([[16.0, -1.0, 0.95]])
    counts = large_rows([rows, rows, rows[:, :2]], np.full(3, 16.0))
    assert counts.tolist() == [3, 3, 0]
    assert maxima_over([np.array([1, 5]), np.array([2])]).tolist() == [2, 5]


def test_the_columns_of_vectors_and_maps():
    assert largest_values([np.arange(-3.0, 1)]).tolist() == [3]
    maps = [np.array(x).reshape(1, 2, 2) for x in ([0, 9, 1, 0], [4, 9, 9, 3])]
    assert movement_of(maps).tolist() == [8, 3]
    assert movement_of([np.array([1.0, 7])]).tolist() == [6]
