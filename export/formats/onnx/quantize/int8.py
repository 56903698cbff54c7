"""int8 ONNX graphs, by onnxruntime's quantizer.

Activations are uint8, weights int8 with a scale an output channel and no zero
point: for this pair ONNX Runtime has convolutions that need not be unrolled
first. On x86 they took 0.3 of the time of float, int8 activations 0.55, and
uint8 weights 0.8.
"""

from collections.abc import Collection
from functools import partial

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationMethod, QuantType
from onnxruntime.quantization.calibrate import TensorData, TensorsData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
from onnxruntime.quantization.quant_utils import add_infer_metadata

from keras_inception_export.formats.onnx.graph import Constant, Graph
from keras_inception_export.formats.onnx.passes.sorting import sort_depth_first
from keras_inception_export.formats.onnx.quantize.calibration import Ranges
from keras_inception_export.formats.onnx.quantize.passes import (
    keep_float,
    pad_integers,
    quantize_ends,
    spare_rounding,
)
from keras_inception_export.formats.onnx.quantize.placement import (
    ACTIVATIONS,
    SELECTIONS,
    integer_nodes,
    layer_nodes,
    prepare,
)

ONE_SCALE = SELECTIONS | {"AveragePool"}
"""Operators whose input and output onnxruntime gives one scale, and those
that work on integers only then."""


def quantize(
    graph: Graph,
    ranges: Ranges,
    float_layers: Collection[str],
    io: str | None,
) -> Graph:
    """Return the graph in int8.

    Args:
        graph: the graph in float, to be rewritten.
        ranges: of its values.
        float_layers: the layers that stay in float.
        io: dtype of inputs and outputs, where they are not to be float.
    """
    prepare(graph, float_layers)
    chosen = integer_nodes(graph, float_layers)
    ranges = _joined(graph, ranges, chosen)
    result = _with_pairs(graph, ranges, chosen)
    pad_integers(result)
    spare_rounding(graph, result, chosen)
    if io is not None:
        quantize_ends(result, ranges, io)
    keep_float(result, {x.name for x in layer_nodes(graph)} - chosen)
    sort_depth_first(result)
    result.prune()
    return result


def _joined(graph: Graph, ranges: Ranges, chosen: Collection[str]) -> Ranges:
    """Return the ranges, one for all that must have one scale.

    A group stays apart whose common range an activation cuts: its cut would
    be lost with the node.
    """
    ranges = dict(ranges)
    for node in graph.nodes:
        if node.op_type == "Pad" and node.output[0] not in ranges:
            ranges[node.output[0]] = ranges[node.input[0]]
    groups = {name: {name} for name in ranges}
    for node in graph.nodes:
        if node.op_type not in ONE_SCALE or node.name not in chosen:
            continue
        values = [*node.input] if node.op_type == "Concat" else [node.input[0]]
        values = [v for v in (*values, node.output[0]) if v in ranges]
        group = set().union(*(groups[value] for value in values))
        groups.update(dict.fromkeys(group, group))
    limits = {
        node.output[0]: _limits(graph, node)
        for node in graph.nodes
        if node.op_type in ACTIVATIONS and node.name in chosen
    }
    joined = {}
    for name, group in groups.items():
        low = min(ranges[value][0] for value in group)
        high = max(ranges[value][1] for value in group)
        fits = all(
            limits[value][0] <= low and high <= limits[value][1]
            for value in group & limits.keys()
        )
        joined[name] = (low, high) if fits else ranges[name]
    return joined


def _limits(graph: Graph, node: onnx.NodeProto) -> tuple[float, float]:
    """Return the least and the largest value that an activation returns."""
    if node.op_type == "Relu":
        return 0.0, np.inf
    bounds = [graph.value(name) for name in (*node.input[1:], "", "")[:2]]
    low, high = (None if bound is None else bound.item() for bound in bounds)
    return (-np.inf if low is None else low), (np.inf if high is None else high)


def _with_pairs(graph: Graph, ranges: Ranges, chosen: set[str]) -> Graph:
    """Let onnxruntime put a QuantizeLinear and a DequantizeLinear between."""
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
    constants = {
        name: constant
        for name, constant in graph.constants.items()
        if name not in read
    }
    for tensor in result.initializer:
        constants[tensor.name] = Constant.of(
            partial(onnx.numpy_helper.to_array, tensor)
        )
    quantized = graph.copy()
    quantized.nodes, quantized.constants = list(result.node), constants
    return quantized
