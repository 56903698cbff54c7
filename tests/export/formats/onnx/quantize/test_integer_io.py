"""Integer inputs and outputs of an int8 graph."""

import json

import numpy as np
import pytest

from keras_inception_export.formats.onnx.quantize.int8 import quantize_io
from tests.helpers.onnx_graphs import onnx_graph, operators, run_graph


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_float_inputs_and_outputs_become_integers(dtype):
    graph = onnx_graph(
        "(float[N] x, int64[N] i) => (float[N] y, int64[N] j)"
        "{ y = Neg(x) j = Identity(i) }",
        opset=19,
    )
    quantize_io(graph, {"x": (-1.0, 4.1), "y": (-4.1, 1.0)}, dtype)
    graph.sort()
    scales = json.loads(graph.metadata["quantization"])
    assert list(scales) == ["x", "y"]
    assert operators(graph).count("Identity") == 1
    # int8 outputs are rounded to uint8 first.
    rounded = operators(graph).count("QuantizeLinear")
    assert rounded == (2 if dtype == "int8" else 1)

    def real(name, integers):
        scale = scales[name]
        return scale["scale"] * (integers.astype(int) - scale["zero_point"])

    x = np.arange(np.iinfo(dtype).min, np.iinfo(dtype).max + 1).astype(dtype)
    y, i = run_graph(graph, x=x, i=np.arange(3))
    assert y.dtype == dtype
    np.testing.assert_array_equal(i, np.arange(3))
    # The two scales are equal: no more than a half step is lost.
    error = np.abs(real("y", y) + real("x", x))
    assert error.max() <= 0.51 * scales["y"]["scale"]
    assert np.abs(real("y", y[1:]) + real("x", x[:-1])).max() > error.max()
