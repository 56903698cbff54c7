"""Move and remove conversions after ONNX Runtime has quantized a graph.

Each value between two integer nodes is followed by a QuantizeLinear and a
DequantizeLinear, which ONNX Runtime fuses with the nodes around them.
"""

from collections.abc import Collection, Mapping

import numpy as np
import onnx

from keras_inception_export.formats.onnx.graph import Graph, rename_reads
from keras_inception_export.formats.onnx.quantize.placement import (
    ACTIVATIONS,
    PRODUCTS,
    SELECTIONS,
)

FLOAT = onnx.TensorProto.FLOAT


def pad_integers(graph: Graph) -> None:
    """Pad integers if the padded values are quantized with the same scale.

    ONNX Runtime would convert them to float, pad, and convert back.
    """
    producers, uses = graph.producers(), graph.uses()
    for node in list(graph.nodes):
        pad = _source(producers, node, "Pad")
        if not pad or len(pad.input) != 2 or uses[pad.output[0]] != 1:
            continue
        source = _source(producers, pad, "DequantizeLinear")
        if source and _is_inverse(graph, source, node):
            pad.input[0] = source.input[0]
            pad.input.append(source.input[2])
            pad.output[0] = node.output[0]
            graph.nodes.remove(node)


def skip_rounding(graph: Graph, result: Graph, chosen: Collection[str]) -> None:
    """Connect float nodes and outputs to values that are not yet quantized.

    Float nodes compute such values, and so does a matrix product, unless an
    activation follows. `result` is what quantization made of `graph`, with the
    `chosen` nodes on integers.
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
    integer = [node for node in result.nodes if node.name in chosen]
    needed = {name for node in integer for name in node.input}
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
            result.rename_values({value.name: other, other: value.name})


def keep_float(graph: Graph, kept: Collection[str]) -> None:
    """Dequantize the inputs of some nodes by Cast, Sub and Mul.

    ONNX Runtime computes a layer in int8 if it is between a DequantizeLinear
    and a QuantizeLinear, even if its kernel is in float. It moves a
    DequantizeLinear past nodes such as the Transpose between an integer input
    and the first convolution, so these are looked through.
    """
    producers = graph.producers()
    for node in [node for node in graph.nodes if node.name in kept]:
        source = producers.get(node.input[0])
        while source and source.op_type in SELECTIONS - {"Concat"}:
            node, source = source, producers.get(source.input[0])
        if not source or source.op_type != "DequantizeLinear":
            continue
        real = f"{node.name}/real"
        cast, shifted = f"{real}/Cast", f"{real}/Sub"
        scale, zero = (graph.constants[x].load() for x in source.input[1:])
        zero = zero.astype(np.float32)
        zero_point = graph.add_constant(zero, f"{real}/zero_point")
        factor = graph.add_constant(scale, f"{real}/scale")
        graph.add_node("Cast", source.input[:1], cast, cast, to=FLOAT)
        graph.add_node("Sub", [cast, zero_point], shifted, shifted)
        node.input[0] = graph.add_node("Mul", [shifted, factor], real)


def _source(
    producers: Mapping[str, onnx.NodeProto], node: onnx.NodeProto, operator: str
) -> onnx.NodeProto | None:
    """Return the producer of the first input if it is of this operator."""
    source = producers.get(node.input[0]) if node.input else None
    return source if source and source.op_type == operator else None


def _is_inverse(
    graph: Graph, source: onnx.NodeProto, node: onnx.NodeProto
) -> bool:
    """Return whether a node quantizes with the scale its source removed."""
    if node.op_type != "QuantizeLinear":
        return False
    before, after = (
        [graph.constants[name].load() for name in conversion.input[1:]]
        for conversion in (source, node)
    )
    return all(map(np.array_equal, before, after))
