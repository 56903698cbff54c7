"""Give an int8 graph integer inputs and outputs."""

import json
from collections.abc import Collection

import numpy as np
import onnx
from onnxruntime.quantization.quant_utils import compute_scale_zp

from keras_inception_export.formats.onnx.graph import Graph
from keras_inception_export.formats.onnx.quantize.calibration import Ranges
from keras_inception_export.formats.onnx.runtime import QUANTIZATION


def quantize_io(
    graph: Graph, ranges: Ranges, io: str | None, pixels: Collection[str] = ()
) -> None:
    """Make float inputs and outputs integers; record scales in the metadata.

    See `int8.quantize` for `io` and `pixels`.
    """
    scales = {}
    for value in [*graph.inputs, *graph.outputs]:
        kind, name = value.type.tensor_type, value.name
        dtype = "uint8" if name in pixels else io
        if dtype is None or kind.elem_type != onnx.TensorProto.FLOAT:
            continue
        kind.elem_type = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        zero, scale = compute_scale_zp(
            *map(np.float32, ranges[name]), np.uint8(0), np.uint8(255)
        )
        # The same integers, counted from the least one of the dtype.
        shifted = (zero.astype(int) + np.iinfo(dtype).min).astype(dtype)
        scales[name] = {"scale": float(scale), "zero_point": int(shifted)}
        real = f"{name}/real"
        graph.rename_values({name: real})
        if value in graph.inputs:
            _convert(graph, "DequantizeLinear", name, real, scale, shifted)
            continue
        if dtype == "int8":
            # No operator computes int8 from uint8: ONNX Runtime would compute
            # a matrix product in float.
            whole, rounded = f"{name}/uint8", f"{name}/rounded"
            _convert(graph, "QuantizeLinear", real, whole, scale, zero)
            _convert(graph, "DequantizeLinear", whole, rounded, scale, zero)
            real = rounded
        _convert(graph, "QuantizeLinear", real, name, scale, shifted)
    if scales:
        graph.metadata[QUANTIZATION] = json.dumps(scales)


def _convert(
    graph: Graph,
    operator: str,
    before: str,
    after: str,
    scale: np.ndarray,
    zero: np.ndarray,
) -> None:
    """Add a QuantizeLinear or a DequantizeLinear between two values."""
    name = f"{after}/{operator}"
    scale_name = graph.add_constant(scale, f"{name}/scale")
    zero_name = graph.add_constant(zero, f"{name}/zero_point")
    graph.add_node(operator, [before, scale_name, zero_name], after)
