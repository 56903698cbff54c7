"""Quantize an ONNX graph to int8 with onnxruntime's quantizer.

Activations are uint8, weights int8 with one scale per output channel and no
zero point: for this combination ONNX Runtime has convolutions that need no
unrolling first. On x86 they took 0.3 of the time of float; 0.55 with int8
activations, and 0.8 with uint8 weights.
"""

import json
from collections.abc import Collection, Sequence
from functools import partial

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationMethod, QuantType
from onnxruntime.quantization.calibrate import TensorData, TensorsData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
from onnxruntime.quantization.quant_utils import (
    add_infer_metadata,
    compute_scale_zp,
)

from keras_inception_export.formats.onnx.graph import Constant, Graph
from keras_inception_export.formats.onnx.quantize.calibration import Ranges
from keras_inception_export.formats.onnx.quantize.passes import (
    conversions,
    layers,
)
from keras_inception_export.formats.onnx.quantize.placement import (
    ACTIVATIONS,
    SELECTIONS,
    integer_nodes,
    layer_name,
    layer_nodes,
    limits,
    reading_layers,
)
from keras_inception_export.formats.onnx.runtime import QUANTIZATION
from keras_inception_export.formats.quantizer import uneven_joins

ONE_SCALE = SELECTIONS | {"AveragePool"}
"""Operators whose input and output get one scale from onnxruntime, and those
that compute on integers only if they have one."""


def quantize(
    graph: Graph,
    ranges: Ranges,
    float_layers: Collection[str],
    io: str | None,
    pixels: Collection[str] = (),
) -> Graph:
    """Return the graph, which is changed, in int8.

    `float_layers` stay in float. `io` is the dtype of inputs and outputs;
    `None` leaves them in float, except `pixels`, which get uint8 in any case.
    """
    # A mask may be of infinities, which have no scale.
    infinite = {x for x in ranges if not np.isfinite(ranges[x]).all()}
    ranges = {x: ranges[x] for x in ranges.keys() - infinite}
    in_float, mixed = uneven_joins(
        (
            (node.name, _joined(node), node.output)
            for node in graph.nodes
            if node.op_type in ONE_SCALE
        ),
        ranges,
    )
    in_float |= {
        node.name
        for node in graph.nodes
        if not infinite.isdisjoint((*node.input, *node.output))
    }
    float_layers = {
        *float_layers,
        *reading_layers(graph, mixed),
        *(layer_name(x) for x in layer_nodes(graph) if x.name in in_float),
    }
    layers.fuse_biases(graph, float_layers)
    layers.pad_input_channels(graph, float_layers)
    graph.sort()
    chosen = integer_nodes(graph, float_layers, in_float)
    chosen |= {
        node.name
        for node in graph.nodes
        if node.op_type == "Add" and set(pixels) & set(node.input)
    }
    ranges = join_ranges(graph, ranges, chosen)
    result = _insert_conversions(graph, ranges, chosen)
    conversions.pad_integers(result)
    conversions.skip_rounding(graph, result, chosen)
    quantize_io(result, ranges, io, pixels)
    conversions.keep_float(
        result, {x.name for x in layer_nodes(graph)} - chosen
    )
    result.sort()
    return result


def _joined(node: onnx.NodeProto) -> Sequence[str]:
    """Return the inputs of a node that get the scale of its output."""
    return node.input if node.op_type == "Concat" else node.input[:1]


def join_ranges(
    graph: Graph, ranges: Ranges, chosen: Collection[str]
) -> Ranges:
    """Return the ranges, with one for all values that must have one scale.

    Values keep their own ranges if the common one exceeds the limits of an
    activation among them: its clipping would be lost with the node.
    """
    ranges = dict(ranges)
    for node in graph.nodes:
        if node.op_type == "Pad" and node.input[0] in ranges:
            ranges.setdefault(node.output[0], ranges[node.input[0]])
    groups = {name: {name} for name in ranges}
    for node in graph.nodes:
        if node.op_type not in ONE_SCALE or node.name not in chosen:
            continue
        values = ranges.keys() & {*_joined(node), *node.output}
        group = set().union(*(groups[value] for value in values))
        groups.update(dict.fromkeys(group, group))
    allowed = {
        node.output[0]: limits(graph, node)
        for node in graph.nodes
        if node.op_type in ACTIVATIONS and node.name in chosen
    }
    joined = {}
    for name, group in groups.items():
        low = min(ranges[value][0] for value in group)
        high = max(ranges[value][1] for value in group)
        fits = all(
            allowed[value][0] <= low and high <= allowed[value][1]
            for value in group & allowed.keys()
        )
        joined[name] = (low, high) if fits else ranges[name]
    return joined


def _insert_conversions(
    graph: Graph, ranges: Ranges, chosen: set[str]
) -> Graph:
    """Insert QuantizeLinear and DequantizeLinear by onnxruntime's quantizer."""
    nodes = [node for node in graph.nodes if node.name in chosen]
    read = {name for node in nodes for name in node.input}
    model = graph.model(held=read)
    for name, kind in graph.inferred_types().items():
        info = model.graph.value_info.add(name=name)
        info.type.tensor_type.CopyFrom(kind)
    add_infer_metadata(model)
    quantizer = QDQQuantizer(
        model,
        per_channel=True,
        reduce_range=False,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QUInt8,
        tensors_range=TensorsData(
            CalibrationMethod.MinMax,
            {
                name: TensorData(
                    lowest=np.float32(low), highest=np.float32(high)
                )
                for name, (low, high) in ranges.items()
            },
        ),
        nodes_to_quantize=[node.name for node in nodes],
        nodes_to_exclude=[],
        op_types_to_quantize=list({node.op_type for node in nodes}),
        extra_options={"ForceQuantizeNoInputCheck": True},
    )
    result = quantizer.quantize_model().graph
    quantized = graph.copy()
    quantized.nodes = list(result.node)
    for name in read:
        quantized.constants.pop(name, None)
    for tensor in result.initializer:
        quantized.constants[tensor.name] = Constant.of(
            partial(onnx.numpy_helper.to_array, tensor)
        )
    return quantized


def quantize_io(
    graph: Graph, ranges: Ranges, io: str | None, pixels: Collection[str] = ()
) -> None:
    """Make float inputs and outputs integers; record scales in the metadata.

    See `quantize` for `io` and `pixels`.
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
