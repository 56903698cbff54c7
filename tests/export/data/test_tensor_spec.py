"""Specs of inputs and outputs: JSON, quantization, and checks of arrays."""

import numpy as np
import pytest

from keras_inception_export.data.tensor_spec import (
    TensorSpec,
    check_feeds,
    quantized_feed,
)
from keras_inception_export.errors import RequestError

FLOAT = TensorSpec("a", (None, 2), "float32")
INT8 = TensorSpec("b", (None,), "int8", 0.5, -3)


@pytest.mark.parametrize("spec", [FLOAT, INT8])
def test_json_round_trip(spec):
    assert TensorSpec.from_json(spec.as_json()) == spec


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (FLOAT, True),
        (INT8, True),
        (TensorSpec("c", (None,), "int8"), False),
    ],
)
def test_takes_reals(spec, expected):
    assert spec.takes_reals is expected


def test_quantization_rounds_and_saturates():
    """By hand: value / 0.5 - 3, rounded half to even, within int8."""
    values = np.array([0.0, 1.0, 0.25, 0.75, 1000.0, -1000.0])
    integers = INT8.quantize(values)
    assert integers.dtype == "int8"
    np.testing.assert_array_equal(integers, [-3, -1, -3, -1, 127, -128])
    reals = INT8.dequantize(integers)
    assert reals.dtype == "float32"
    np.testing.assert_array_equal(reals, [0, 1, 0, 1, 65, -62.5])


def test_quantized_feed_leaves_floats_alone():
    feed = {"a": np.ones((1, 2), "float32"), "b": np.array([1.0])}
    quantized = quantized_feed((FLOAT, INT8), feed)
    assert quantized["a"] is feed["a"] and quantized["b"] == -1


@pytest.mark.parametrize(
    ("feeds", "message"),
    [
        ({"a": np.ones((3, 2), "float32")}, None),
        ({"b": np.ones((3, 2), "float32")}, r"inputs \['b'\], expected \['a'"),
        ({"a": np.ones((3, 3), "float32")}, r"\(3, 3\), expected float32"),
        ({"a": np.ones(3, "float32")}, r"\(3,\), expected float32"),
        ({"a": np.ones((3, 2))}, r"received float64 \(3, 2\)"),
    ],
)
def test_check_feeds(feeds, message):
    if message is None:
        check_feeds((FLOAT,), feeds)
        return
    with pytest.raises(RequestError, match=message):
        check_feeds((FLOAT,), feeds)
