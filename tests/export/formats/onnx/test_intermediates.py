import sys

import numpy as np
import pytest

from keras_inception_export.errors import RuntimeMissingError
from keras_inception_export.formats.onnx.intermediates import OnnxIntermediates
from keras_inception_export.formats.onnx.serialize import write_file
from tests.helpers.onnx_graphs import onnx_graph, random_array

X, STEP = random_array(2, 40), np.float32(0.05)


@pytest.fixture
def graph():
    """Two products: the first is computed on integers, the second is not."""
    kernel = np.random.default_rng(1).integers(-9, 9, (40, 40), dtype=np.int8)
    return onnx_graph(
        """(float[N,40] x) => (float[N,40] y, float[N,40] f) {
            q = QuantizeLinear(x, scale, zero)
            d = DequantizeLinear(q, scale, zero)
            k = DequantizeLinear(kernel, scale, zero)
            m = MatMul(d, k)
            r = Relu(m)
            p = QuantizeLinear(r, scale, zero)
            e = DequantizeLinear(p, scale, zero)
            f = Neg(e)
            g = Exp(f)
            y = Add(g, x)
        }""",
        kernel=kernel,
        scale=np.array(STEP),
        zero=np.array(0, np.int8),
        opset=19,
    )


@pytest.fixture
def path(graph, tmp_path):
    write_file(graph, tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


def test_values_inside_an_integer_operation_cannot_be_read(path):
    # `d` and `e` represent what was quantized; `m` and `r` are fused, and so
    # would be `f`, but it is an output.
    found = OnnxIntermediates(path).names()
    assert found == {"d": "x", "e": "r", "f": "f", "g": "g", "y": "y"}


def test_tensors_are_read_as_the_runtime_computes_them(graph, path):
    names = ["g", "y", "e", "d"]
    kernel = graph.constants["kernel"].load() * STEP
    feeds = [{"x": X}, {"x": -X[:1]}]
    for feed, values in zip(
        feeds, OnnxIntermediates(path).read(names, feeds), strict=True
    ):
        found = dict(values)
        assert sorted(found) == sorted(names)
        g = np.exp(-found["e"])
        np.testing.assert_allclose(found["g"], g, rtol=1e-5)
        np.testing.assert_allclose(found["y"], g + feed["x"], rtol=1e-5)
        # A value between two steps may be rounded to either.
        r = np.clip(found["d"] @ kernel, 0, 127 * STEP)
        assert np.abs(found["e"] - r).max() < 0.51 * STEP
        assert np.abs(found["e"] + STEP - r).max() > 0.51 * STEP


def test_a_name_that_is_not_in_the_file_is_left_out(path):
    read = OnnxIntermediates(path).read(["missing", "e"], [{"x": X}])
    assert dict(next(read)).keys() == {"e"}


def test_a_missing_package_is_named(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(RuntimeMissingError, match="pip install onnx"):
        OnnxIntermediates(path).names()
