"""Which layer diverges, on values made by hand."""

import math

import numpy as np
import pytest

from keras_inception_export.diagnosis.layer_comparison import (
    LayerResult,
    compare_layer,
    flag_first_change,
    flag_largest_snr_drop,
    with_snr_drops,
)
from keras_inception_export.diagnosis.layer_reference import TensorLocation
from tests.helpers.references import all_values, reference_of

EXACT = np.random.default_rng(0).normal(size=(50, 4))
REFERENCE = reference_of(EXACT)
STEP = 1 / 16
ROUNDED = np.round(EXACT / STEP) * STEP
PUBLISHED = TensorLocation(
    "t", False, REFERENCE.error(all_values(ROUNDED)), all_values(ROUNDED)
)


@pytest.mark.parametrize(
    ("factor", "published", "diverges"),
    (
        (1 + 1e-7, None, False),
        (1 + 1e-5, None, True),
        (1 + 1e-5, TensorLocation("t", False, 1e-5), False),
        (1 + 1e-4, TensorLocation("t", False, 1e-5), True),
        (np.nan, None, True),
    ),
)
def test_float(factor, published, diverges):
    values = REFERENCE.values * factor
    assert compare_layer(REFERENCE, values, published, None).diverges is (
        diverges
    )


def test_quantized_as_published():
    result = compare_layer(REFERENCE, PUBLISHED.values, PUBLISHED, "int8")
    assert result.error == PUBLISHED.error > 0
    assert result.change == result.changed_channels == result.steps == 0
    assert not result.diverges


@pytest.mark.parametrize(("steps", "diverges"), ((0.5, False), (8, True)))
def test_quantized_one_channel_changed(steps, diverges):
    changed = ROUNDED.copy()
    changed[:, 1] += steps * STEP
    values = all_values(changed)
    result = compare_layer(REFERENCE, values, PUBLISHED, "int8")
    assert result.changed_channels == 1 / 4
    assert result.steps == pytest.approx(steps)
    assert result.diverges is diverges


@pytest.mark.parametrize(
    ("factor", "added", "changed"),
    ((1.3, 0, 0), (0.8, 0, 0), (2, 0, 1), (1.3, 2 * STEP, 1)),
)
def test_quantized_with_another_scale(factor, added, changed):
    """Of a scale that is twice as coarse, the step may be by chance."""
    step = factor * STEP
    values = all_values(np.rint((EXACT + added) / step) * step)
    result = compare_layer(REFERENCE, values, PUBLISHED, "int8")
    assert result.changed_channels == changed


def test_float_values_have_no_steps():
    published = TensorLocation("t", False, 1e-3, REFERENCE.values)
    values = REFERENCE.values + 1e-2
    assert compare_layer(REFERENCE, values, published, "int8").steps == 0


def result(**fields):
    return LayerResult("layer", (), 0.0, math.inf, **fields)


SAME = result()
ALL_CHANNELS = result(changed_channels=1.0, steps=1.0)
ONE_CHANNEL = result(changed_channels=0.1, steps=1.0)
TWO_STEPS = result(changed_channels=1.0, steps=2.0)
FAR = result(changed_channels=1.0, steps=1.0, diverges=True)


@pytest.mark.parametrize(
    ("results", "altered", "expected"),
    (
        ([SAME, SAME], True, None),
        # Other kernels change all channels from the first layer on.
        ([ALL_CHANNELS, ALL_CHANNELS], False, None),
        ([ALL_CHANNELS, ALL_CHANNELS], True, None),
        ([ALL_CHANNELS, FAR], False, 1),
        # After layers that are as published, the kernels are the same ones.
        ([SAME, ALL_CHANNELS], False, None),
        ([SAME, ALL_CHANNELS], True, 1),
        ([SAME, ALL_CHANNELS, FAR], False, 1),
        ([ONE_CHANNEL, ALL_CHANNELS], True, 0),
        ([TWO_STEPS, ALL_CHANNELS], False, 0),
    ),
)
def test_first_change(results, altered, expected):
    flagged = flag_first_change(results, altered)
    first = next((i for i, r in enumerate(flagged) if r.diverges), None)
    assert first == expected


def test_snr_drops():
    levels = (40, 42, 20, 25, 20)
    results = [LayerResult("layer", (), 0.0, snr) for snr in levels]
    results = with_snr_drops(results)
    assert [r.snr_drop for r in results] == [10, 0, 20, 0, 0]
    flagged = flag_largest_snr_drop(results)
    assert [r.diverges for r in flagged] == [False, False, True, False, False]
    perfect = with_snr_drops([SAME, SAME])
    assert not any(r.diverges for r in flag_largest_snr_drop(perfect))


@pytest.mark.parametrize(
    ("fields", "text"),
    (
        (
            {"change": 0.1, "published": 0.01},
            '"a + layer" (differs by 5.0e-01, 1.0e-02 when it was published)',
        ),
        (
            {"allowed": 2e-6},
            '"a + layer" (differs by 5.0e-01, allowed is 2.0e-06)',
        ),
        (
            {"snr_drop": 12.0},
            '"a + layer" (differs by 5.0e-01, signal-to-noise ratio drops by '
            "12 dB)",
        ),
    ),
)
def test_described(fields, text):
    assert LayerResult("layer", ("a",), 0.5, 3.0, **fields).described() == text
