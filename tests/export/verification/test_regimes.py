"""Regimes: the same inputs each time, and each of the kind it is named for."""

from dataclasses import replace

import numpy as np
import pytest

from keras_inception_export.data.domain import Domain
from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.verification import regimes as regimes_module
from keras_inception_export.verification.probes import USUAL
from keras_inception_export.verification.regimes import (
    BATCH_SIZES,
    FACTORS,
    FULL_SIZE,
    IMAGE_SIZES,
    MAGNITUDES,
    OTHER_SIZES,
    SIZES,
    fitting_specs,
    regimes,
    usual_sample,
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
        assert last == [factor * OTHER_SIZES[-1] for factor in FACTORS]
    sizes = [x[-1].shape[1] for x in found["large"]]
    assert sizes == [size for size in last for _ in MAGNITUDES]
    assert [len(x) for (x,) in found["odd size"]] == [2, 2, 2]


def test_large_inputs_are_few():
    found = made((None, 224, 224, 3))
    counts = {name: [len(x) for x in found[name][0]] for name in found}
    assert counts.pop("expected") == [2]
    assert all(batches == [1] for batches in counts.values())


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


@pytest.mark.parametrize(
    ("low", "high", "values"),
    (
        (0.0, 1.0, [0, 0.731, 0.293, -0.391]),
        (-3.0, 5.0, [0, 3.655, 0.586, -3.391]),
        (-1.0, 0.0, [0, 0, -0.293, -1.391]),
    ),
)
def test_constants_are_of_the_size_of_the_domain(low, high, values):
    domain = Domain(np.array(low), np.array(high))
    ((constant,),) = made((None, 1), domain=domain)["constant"]
    np.testing.assert_allclose(constant.ravel(), values, rtol=1e-6)


def test_normal_values_have_the_size_of_the_domain():
    found = made((None, 5000), domain=Domain(np.array(-2.0), np.array(5.0)))
    ((mixed,),) = found["mixed signs"]
    assert np.std(mixed) == pytest.approx(5, rel=0.05)
    assert abs(np.mean(mixed)) < 0.2
    for (large,), size in zip(found["large"], MAGNITUDES, strict=True):
        assert np.std(large) == pytest.approx(5 * size, rel=0.05)


@pytest.mark.parametrize(
    ("shape", "sizes"),
    (
        ((None, FULL_SIZE), [1, 3, 7]),
        ((None, FULL_SIZE + 1), [2]),
        ((1, FULL_SIZE + 1), [1, 1]),
        ((None, None, FULL_SIZE), [1, 2]),
        # The first of the sizes counts, which the first batch has.
        ((None, None, FULL_SIZE // OTHER_SIZES[0]), [1, 3, 7]),
    ),
)
def test_what_is_a_large_sample(shape, sizes):
    assert [len(batch) for batch in made(shape)["expected"][0]] == sizes


def test_factors_up_to_the_largest_sample():
    """Of 12 by 4,096 values, and of all that are in other inputs."""
    for other, factors in ((0, 2), (FULL_SIZE, 2), (FULL_SIZE + 1, 1)):
        shapes = (None, None, 4096), (None, other)
        specs = [
            TensorSpec(*x, "float32") for x in zip("xy", shapes, strict=True)
        ]
        domains = dict.fromkeys("xy", Domain(bounded=True))
        assert len(dict(regimes(specs, domains))["constant"]) == factors


def test_inputs_of_sizes_that_fit():
    """All are of these sizes, but for those that are meant to be of others."""
    specs = [TensorSpec("x", (None, None, 3), "float32")]
    fitting = [TensorSpec("x", (None, 20, 3), "float32")]
    found = dict(regimes(specs, {"x": Domain()}, None, fitting))
    sizes = {
        name: [[x["x"].shape[1] for x in batches] for batches in alternatives]
        for name, alternatives in found.items()
    }
    for name, pairs in SIZES.items():
        assert sizes.pop(name) == [[pair[0]] for pair in pairs]
    assert sizes.pop("expected") == [[20, 20, 20]]
    assert {size for x in sizes.values() for (size,) in x} == {20}


@pytest.mark.parametrize(("limit", "number"), ((2**22, 2), (1, 1)))
def test_three_unknown_sizes_are_two_in_turn(limit, number, monkeypatch):
    """Of those that fit into memory; else the first."""
    assert regimes_module.LARGEST_UNUSUAL == 2**22
    monkeypatch.setattr(regimes_module, "LARGEST_UNUSUAL", limit)
    found = made((None, None, None, None, 1))["odd size"]
    sizes = [(47, 33, 47), (131, 97, 131)][:number]
    assert [x.shape for (x,) in found] == [(2, *size, 1) for size in sizes]


def shapes_of(found):
    return [tuple(spec.shape for spec in specs) for specs in found]


def test_sizes_that_may_fit():
    """Equal ones, those in use first; then, of two, all small pairs."""
    known = TensorSpec("k", (None, 5), "float32")
    one = TensorSpec("x", (4, None, 3), "int32")
    assert not list(fitting_specs([known]))
    found = list(fitting_specs([one, known]))
    assert found[0] == [replace(one, shape=(4, 64, 3)), known]
    sizes = [shape[1] for shape, _ in shapes_of(found)]
    assert sizes == [*range(64, 0, -1), *range(65, 385)]
    two = TensorSpec("y", (None, None), "float32")
    found = shapes_of(fitting_specs([one, two]))
    assert found[:384] == [((4, x, 3), (None, x)) for x in sizes]
    pairs = [(x, y) for x in range(24, 0, -1) for y in range(24, 0, -1)]
    assert found[384:] == [((4, x, 3), (None, y)) for x, y in pairs]
    assert len(list(fitting_specs([one, two, two]))) == 384


def test_sizes_of_samples_fit():
    one = TensorSpec("x", (4, None, 3), "float32")
    known = TensorSpec("k", (None, 5), "float32")
    samples = {"x": np.zeros((9, 7, 3)), "k": np.zeros((9, 5))}
    (found,) = fitting_specs([one, known], samples)
    assert found == [replace(one, shape=(4, 7, 3)), known]


@pytest.mark.parametrize(("batch", "number"), ((None, 1), (4, 4)))
def test_a_usual_sample(batch, number):
    spec = TensorSpec("x", (batch, None, 3), "float32")
    domain = Domain(np.array(5.0), np.array(9.0))
    found = usual_sample([spec], {"x": domain})["x"]
    expected = domain.draw(np.random.default_rng(0), (number, 12, 3))
    np.testing.assert_array_equal(found, np.float32(expected))
    assert found.dtype == "float32"
