"""Regimes: the same inputs each time, and each of the kind it is named for."""

import numpy as np
import pytest

from keras_inception_export.data.domain import Domain
from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.verification.probes import USUAL
from keras_inception_export.verification.regimes import (
    BATCH_SIZES,
    FACTORS,
    IMAGE_SIZES,
    MAGNITUDES,
    OTHER_SIZES,
    SIZES,
    regimes,
)


def made(shape, dtype="float32", domain=None, samples=None):
    """Return the arrays of each regime: alternatives of batches."""
    specs = [TensorSpec("x", shape, dtype)]
    return {
        regime: [[feed["x"] for feed in batches] for batches in alternatives]
        for regime, alternatives in regimes(
            specs, {"x": domain or Domain()}, samples
        )
    }


def test_they_are_the_same_each_time():
    np.testing.assert_equal(made((None, None, 5)), made((None, None, 5)))


def test_values_of_each_regime():
    found = made((None, 5), domain=Domain(np.array(-2.0), np.array(3.0)))
    (usual,) = found["expected"]
    assert tuple(map(len, usual)) == BATCH_SIZES
    assert all(-2 <= x.min() < x.max() <= 3 for x in usual)
    ((mixed,),) = found["mixed signs"]
    assert mixed.min() < -3 and mixed.max() > 3
    assert [
        np.abs(x).max() > size
        for (x,), size in zip(found["large"], MAGNITUDES, strict=True)
    ] == [True] * len(MAGNITUDES)
    ((constant,),) = found["constant"]
    assert not np.ptp(constant, axis=1).any() and not constant[0].any()
    assert list(found)[-1] == "expected" and not set(found) & set(SIZES)


def test_values_are_those_of_the_dtype_and_the_domain():
    bounded = Domain(
        *(np.array([x, 4.0 * x]) for x in (-2, 3)),
        integers=np.array([True, False]),
        bounded=np.array([True, False]),
    )
    found = made((None, 50, 2), domain=bounded)
    for regime in ("mixed signs", "large"):
        ((batch,), *_) = found[regime]
        assert {-2, 3} <= set(batch[..., 0].ravel()) <= set(range(-2, 4))
        assert 10 < np.abs(batch[..., 1]).max()
    (batch,) = found["constant"][0]
    assert {3, -2} == set(batch[..., 0].ravel())
    assert np.float32(0.731 * 12) in batch[..., 1]
    ((mixed,),) = made((None, 500), "uint8", Domain(high=np.array(255)))[
        "mixed signs"
    ]
    assert (mixed.min(), mixed.max()) == (0, 255)
    assert np.mean(mixed == 0) > 0.4 and np.mean(mixed == 255) > 0.1
    ((constant,),) = made((None, 1))["constant"]
    expected = [0, 0.731, 0.293, -0.391]
    np.testing.assert_allclose(constant.ravel(), expected, rtol=1e-6)


@pytest.mark.parametrize(("dtype", "high"), (("int32", 9), ("bool", 1)))
def test_bounded_integers_stay_in_their_domain(dtype, high):
    domain = Domain(np.array(0), np.array(high), integers=True, bounded=True)
    found = made((None, 50), dtype, domain)
    assert set(found) == {"constant", "expected"}
    for (batch,) in (found["constant"][0], found["expected"][0][-1:]):
        assert batch.dtype == dtype
        assert {batch.min(), batch.max()} == {0, high}


@pytest.mark.parametrize("shape", ((None, None, None, 3), (None, None, 3)))
def test_unknown_sizes_are_small_odd_and_unequal(shape):
    found = made(shape)
    for regime, sizes in SIZES.items():
        assert [x.shape[1:-1] for (x,) in found[regime]] == [
            size[: len(shape) - 2] for size in sizes
        ]
    usual = [x.shape for x in found["expected"][0]]
    size = OTHER_SIZES if len(shape) == 3 else IMAGE_SIZES
    assert [x[1] for x in usual] == list(size)


def test_unknown_sizes_are_larger_where_the_model_needs_it():
    found = made((None, None, 5))
    for regime in ("mixed signs", "constant", "expected"):
        last = [x[-1].shape[1] for x in found[regime]]
        assert last == [factor * OTHER_SIZES[-1] for factor in FACTORS[:4]]
    sizes = [x[-1].shape[1] for x in found["large"]]
    assert sizes == [size for size in last for _ in MAGNITUDES]
    assert [len(x) for (x,) in found["odd size"]] == [2, 2, 2]


def test_large_inputs_are_few():
    found = made((None, 224, 224, 3))
    counts = {name: sum(map(len, found[name][0])) for name in found}
    assert counts["expected"] == 3 and counts.pop("expected")
    assert set(counts.values()) == {1}


def test_a_fixed_batch_is_kept():
    for alternatives in made((2, None)).values():
        assert all(len(x) == 2 for batches in alternatives for x in batches)


@pytest.mark.parametrize("fixed", (None, 2))
def test_samples_are_repeated(fixed):
    samples = {"x": np.arange(4.0)[:, None]}
    found = made((fixed, 1), samples=samples)
    assert set(USUAL) <= set(found)
    (batches,) = found["samples"]
    values = np.concatenate(batches).ravel()
    np.testing.assert_array_equal(values, np.arange(len(values)) % 4)
    sizes = tuple(map(len, batches))
    assert sizes == ((2, 2, 2) if fixed else BATCH_SIZES)
