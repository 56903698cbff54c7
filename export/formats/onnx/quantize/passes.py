"""What is changed in an int8 graph after onnxruntime has quantized it.

Between two nodes on integers stand a QuantizeLinear and a DequantizeLinear;
ONNX Runtime takes a node and what stands around it together.
"""

import json
from collections.abc import Collection, Mapping
from functools import partial

import numpy as np
import onnx
from onnxruntime.quantization.quant_utils import compute_scale_zp

from keras_inception_export.formats.onnx.graph import (
    Constant,
    Graph,
    rename_reads,
)
from keras_inception_export.formats.onnx.quantize.calibration import Ranges
from keras_inception_export.formats.onnx.quantize.placement import (
    ACTIVATIONS,
    PRODUCTS,
)
from keras_inception_export.formats.onnx.runtime import QUANTIZATION

FLOAT = onnx.TensorProto.FLOAT


def pad_integers(graph: Graph) -> None:
    """Pad with the zero point, between the conversions, what pads zeros.

    ONNX Runtime would convert to float and back.
    """
    producers, uses = graph.producers(), graph.uses()
    for node in list(graph.nodes):
        pad = _source(producers, node, "Pad")
        if not pad or uses[pad.output[0]] != 1:
            continue
        source = _source(producers, pad, "DequantizeLinear")
        if source and _same_step(graph, source, node):
            pad.input[0] = source.input[0]
            pad.input.append(source.input[2])
            pad.output[0] = node.output[0]
            graph.nodes.remove(node)


def spare_rounding(
    graph: Graph, result: Graph, chosen: Collection[str]
) -> None:
    """Let float nodes read real values as they were computed.

    Float nodes compute such, and so can a product that no activation follows.
    """
    activated = {
        node.input[0]
        for node in graph.nodes
        if node.op_type in ACTIVATIONS and node.name in chosen
    }
    products = {
        node.name
        for node in graph.nodes
        if node.op_type in PRODUCTS and node.output[0] not in activated
    }
    needed = {
        name
        for node in result.nodes
        if node.name in chosen
        for name in node.input
    }
    producers = result.producers()
    exact = {}
    for node in result.nodes:
        pair = _source(producers, node, "QuantizeLinear")
        if pair and node.op_type == "DequantizeLinear":
            source = producers.get(pair.input[0])
            if (
                source is None
                or source.name not in chosen
                or (source.name in products and node.output[0] not in needed)
            ):
                exact[node.output[0]] = pair.input[0]
    for node in result.nodes:
        if node.name not in chosen and node.op_type != "QuantizeLinear":
            rename_reads(node, exact)
    for value in result.outputs:
        if value.name in exact:
            other = exact[value.name]
            _rename(result, {value.name: other, other: value.name})


def quantize_ends(graph: Graph, ranges: Ranges, dtype: str) -> None:
    """Make inputs and outputs that are float integers; note their steps."""
    steps = {}
    for value in [*graph.inputs, *graph.outputs]:
        kind, name = value.type.tensor_type, value.name
        if kind.elem_type != FLOAT:
            continue
        kind.elem_type = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        zero, scale = compute_scale_zp(
            *map(np.float32, ranges[name]), np.uint8(0), np.uint8(255)
        )
        # The same steps, counted from the type's least integer.
        shifted = (zero.astype(int) + np.iinfo(dtype).min).astype(dtype)
        steps[name] = {"scale": float(scale), "zero_point": int(shifted)}
        real = f"{name}/real"
        _rename(graph, {name: real})
        if value in graph.inputs:
            _convert(graph, "DequantizeLinear", name, real, scale, shifted)
            continue
        if dtype == "int8":
            # No product of uint8 returns int8.
            whole, rounded = f"{name}/uint8", f"{name}/rounded"
            _convert(graph, "QuantizeLinear", real, whole, scale, zero)
            _convert(graph, "DequantizeLinear", whole, rounded, scale, zero)
            real = rounded
        _convert(graph, "QuantizeLinear", real, name, scale, shifted)
    graph.metadata[QUANTIZATION] = json.dumps(steps)
    _join_conversions(graph)


def _join_conversions(graph: Graph) -> None:
    """Drop what converts integers to real values and back to the same."""
    inputs = {value.name for value in graph.inputs}
    outputs = {value.name for value in graph.outputs}
    for node in list(graph.nodes):
        source = _source(graph.producers(), node, "DequantizeLinear")
        if source and _same_step(graph, source, node):
            before, after = source.input[0], node.output[0]
            if before not in inputs:
                graph.nodes.remove(node)
                _rename(graph, {before: after})
            elif after not in outputs:
                graph.nodes.remove(node)
                _rename(graph, {after: before})


def keep_float(graph: Graph, kept: Collection[str]) -> None:
    """Turn integers by arithmetic into the real values that float nodes read.

    Of a layer with a float kernel that stands between a DequantizeLinear and
    a QuantizeLinear ONNX Runtime makes one in int8.

    Args:
        graph: the quantized graph.
        kept: the nodes that stay in float.
    """
    producers = graph.producers()
    for node in list(graph.nodes):
        source = _source(producers, node, "DequantizeLinear")
        if node.name not in kept or not source:
            continue
        scale, zero = (graph.constants[x].load() for x in source.input[1:])
        real = f"{node.name}/real"
        operands = {
            f"{real}/zero_point": zero.astype(np.float32),
            f"{real}/scale": scale,
        }
        for name, value in operands.items():
            graph.constants[name] = Constant.of(partial(np.array, value))
        cast, shifted = f"{real}/Cast", f"{real}/Sub"
        make = onnx.helper.make_node
        graph.nodes += [
            make("Cast", source.input[:1], [cast], cast, to=FLOAT),
            make("Sub", [cast, f"{real}/zero_point"], [shifted], shifted),
            make("Mul", [shifted, f"{real}/scale"], [real], f"{real}/Mul"),
        ]
        node.input[0] = real


def _convert(
    graph: Graph,
    operator: str,
    before: str,
    after: str,
    scale: np.ndarray,
    zero: np.ndarray,
) -> None:
    """Add a conversion to or from integers."""
    name = f"{after}/{operator}"
    operands = {f"{name}/scale": scale, f"{name}/zero_point": zero}
    for key, value in operands.items():
        graph.constants[key] = Constant.of(partial(np.array, value))
    graph.nodes.append(
        onnx.helper.make_node(operator, [before, *operands], [after], name)
    )


def _source(
    producers: Mapping[str, onnx.NodeProto], node: onnx.NodeProto, operator: str
) -> onnx.NodeProto | None:
    """Return the node that computes the first input, if it is such a one."""
    source = producers.get(node.input[0]) if node.input else None
    return source if source and source.op_type == operator else None


def _same_step(
    graph: Graph, source: onnx.NodeProto, node: onnx.NodeProto
) -> bool:
    """Tell whether a node converts back what the source has converted."""
    if node.op_type != "QuantizeLinear":
        return False
    return all(
        np.array_equal(before, after) and before.dtype == after.dtype
        for before, after in (
            (graph.constants[one].load(), graph.constants[other].load())
            for one, other in zip(source.input[1:], node.input[1:], strict=True)
        )
    )


def _rename(graph: Graph, names: dict[str, str]) -> None:
    """Rename values that nodes read and compute."""
    for node in graph.nodes:
        rename_reads(node, names)
        for index, name in enumerate(node.output):
            node.output[index] = names.get(name, name)
