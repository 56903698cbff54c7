"""What is changed in an int8 graph after onnxruntime has quantized it.

Between two nodes on integers stand a QuantizeLinear and a DequantizeLinear;
ONNX Runtime takes a node and what stands around it together.
"""

import json
from collections.abc import Collection
from functools import partial

import numpy as np
import onnx
from onnxruntime.quantization.quant_utils import compute_scale_zp

from keras_inception_export.errors import ConversionError
from keras_inception_export.formats.onnx import QUANTIZATION
from keras_inception_export.formats.onnx_calibration import Ranges
from keras_inception_export.formats.onnx_graph import Constant, Graph
from keras_inception_export.formats.onnx_int8_plan import (
    ACTIVATIONS,
    PRODUCTS,
    layer_name,
    layer_nodes,
)
from keras_inception_export.formats.onnx_passes import axis_lengths


def pad_integers(graph: Graph) -> None:
    """Pad with the zero point, between the conversions, what pads zeros.

    ONNX Runtime would convert to float and back.
    """
    producers, readers = graph.producers(), _readers(graph)
    dropped = set()
    for node in graph.nodes:
        source = producers.get(node.input[0]) if node.input else None
        following = readers.get(node.output[0], [])
        if (
            node.op_type == "Pad"
            and _is(source, "DequantizeLinear")
            and len(following) == 1
            and _is(following[0], "QuantizeLinear")
            and _step(graph, source) == _step(graph, following[0])
        ):
            node.input[0] = source.input[0]
            node.input.append(source.input[2])
            node.output[0] = following[0].output[0]
            dropped.add(following[0].name)
    graph.nodes = [node for node in graph.nodes if node.name not in dropped]


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
    producers, readers = result.producers(), _readers(result)
    exact = {}
    for node in result.nodes:
        pair = producers.get(node.input[0]) if node.input else None
        if _is(node, "DequantizeLinear") and _is(pair, "QuantizeLinear"):
            source = producers.get(pair.input[0])
            following = readers.get(node.output[0], [])
            if (
                source is None
                or source.name not in chosen
                or source.name in products
                and not any(reader.name in chosen for reader in following)
            ):
                exact[node.output[0]] = pair.input[0]
    for node in result.nodes:
        if node.name not in chosen and not _is(node, "QuantizeLinear"):
            for index, name in enumerate(node.input):
                node.input[index] = exact.get(name, name)
    for value in result.outputs:
        if value.name in exact:
            other = exact[value.name]
            _rename(result, {value.name: other, other: value.name})


def quantize_ends(graph: Graph, ranges: Ranges, dtype: str) -> None:
    """Make inputs and outputs that are float integers; note their steps."""
    steps = {}
    for value in [*graph.inputs, *graph.outputs]:
        kind, name = value.type.tensor_type, value.name
        if kind.elem_type != onnx.TensorProto.FLOAT:
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
        source = graph.producers().get(node.input[0]) if node.input else None
        if (
            _is(node, "QuantizeLinear")
            and _is(source, "DequantizeLinear")
            and _step(graph, source) == _step(graph, node)
        ):
            before, after = source.input[0], node.output[0]
            if before not in inputs:
                graph.nodes.remove(node)
                _rename(graph, {before: after})
            elif after not in outputs:
                graph.nodes.remove(node)
                _rename(graph, {after: before})


def keep_float(graph: Graph, result: Graph, chosen: Collection[str]) -> None:
    """Give float layers that read integers a conversion of their own.

    ONNX Runtime makes a convolution with a float kernel an int8 one where it
    stands between conversions from and to integers. It does not where the
    first has a scale along an axis, though all scales be the same.
    """
    types = graph.inferred_types()
    producers = result.producers()
    named = {node.name: node for node in result.nodes}
    for original in layer_nodes(graph):
        node = named[original.name]
        source = producers.get(node.input[0])
        if node.name in chosen or not _is(source, "DequantizeLinear"):
            continue
        shape = axis_lengths(types.get(original.input[0])) or []
        lengths = {
            axis: length
            for axis, length in enumerate(shape)
            if axis and isinstance(length, int) and length > 1
        }
        if not lengths:
            raise ConversionError(
                f"the layer '{layer_name(node)}' reads one value a sample, and "
                "ONNX Runtime cannot be kept from computing it in int8; leave "
                "the layer before it in float too"
            )
        axis, length = next(iter(lengths.items()))
        real = f"{node.name}/real"
        scale, zero = (result.value(name) for name in source.input[1:])
        _convert(
            result,
            "DequantizeLinear",
            source.input[0],
            real,
            np.full(length, scale),
            np.full(length, zero),
            axis=axis,
        )
        node.input[0] = real


def _convert(
    graph: Graph,
    operator: str,
    before: str,
    after: str,
    scale: np.ndarray,
    zero: np.ndarray,
    **attributes: int,
) -> None:
    """Add a conversion to or from integers."""
    name = f"{after}/{operator}"
    operands = {f"{name}/scale": scale, f"{name}/zero_point": zero}
    for key, value in operands.items():
        graph.constants[key] = Constant.of(partial(np.array, value))
    graph.nodes.append(
        onnx.helper.make_node(
            operator, [before, *operands], [after], name, **attributes
        )
    )


def _readers(graph: Graph) -> dict[str, list[onnx.NodeProto]]:
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.nodes:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    return readers


def _is(node: onnx.NodeProto | None, operator: str) -> bool:
    return node is not None and node.op_type == operator


def _step(graph: Graph, node: onnx.NodeProto) -> tuple:
    """Return scale, zero point and type of a conversion."""
    scale, zero = (graph.value(name) for name in node.input[1:])
    return scale.tolist(), zero.tolist(), zero.dtype


def _rename(graph: Graph, names: dict[str, str]) -> None:
    """Rename values that nodes read and compute."""
    for node in graph.nodes:
        for index, name in enumerate(node.input):
            node.input[index] = names.get(name, name)
        for index, name in enumerate(node.output):
            node.output[index] = names.get(name, name)
