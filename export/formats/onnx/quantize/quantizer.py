"""Write quantized ONNX artifacts: float16, dynamic and int8.

They are written from the graph of the float artifact, whose names they keep,
and opened by `onnx.runtime.open_runner` like any other.
"""

import tempfile
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from keras_inception_export.errors import ArtifactError, reason_of
from keras_inception_export.formats.onnx.export import float_graph
from keras_inception_export.formats.onnx.graph import SMALL, Graph
from keras_inception_export.formats.onnx.quantize.calibration import (
    Ranges,
    calibrate,
)
from keras_inception_export.formats.onnx.quantize.int8 import quantize
from keras_inception_export.formats.onnx.quantize.placement import (
    LAYERS,
    layer_name,
    layer_nodes,
)
from keras_inception_export.formats.onnx.serialize import write_file
from keras_inception_export.formats.quantizer import (
    PIXELS,
    Quantizer,
    kernel_scale,
    largest_weight,
    rounded_kernel,
)

FLOAT = onnx.TensorProto.FLOAT
INTEGER_OPERATORS = frozenset(
    "ConvInteger DynamicQuantizeMatMul MatMulInteger MatMulIntegerToFloat "
    "QGemm QLinearConv QLinearMatMul".split()
)
"""The operators with which ONNX Runtime computes a layer on integers."""


class OnnxQuantizer(Quantizer):
    """Writes ONNX artifacts; see `Quantizer`.

    The graph is converted once, and calibrated when int8 is first written.

    - `"float16"` stores the weights in float16 and computes in float32 at the
      speed of float: ONNX Runtime's CPU kernels have no float16, and its own
      conversion, which inserts casts around each operator, took 1.15 times as
      long and was less accurate.
    - `"dynamic"` stores the weights in int8. Matrix products quantize their
      input at run time. Convolutions compute in float, at its speed: with
      inputs quantized at run time, ONNX Runtime's convolution took 1.5 times
      as long as float with uint8 weights, and 5.9 times with int8.
    - `"int8"` computes on integers throughout. Its layers are convolutions
      and matrix products, by the path of their kernel.
    """

    @cached_property
    def layers(self) -> tuple[str, ...]:
        """Keras paths of the layers that int8 applies to, in network order."""
        return tuple(dict.fromkeys(map(layer_name, layer_nodes(self._graph()))))

    def _graph(self) -> Graph:
        return float_graph(self._source, self._opset)

    @cached_property
    def _ranges(self) -> Ranges:
        samples = self._calibration_arrays()
        ranges = calibrate(self._graph(), self._folder, samples)
        return ranges | dict.fromkeys(self._source.pixels, PIXELS)

    def _write_weights(self, path: Path, scheme: str) -> None:
        graph = self._graph()
        store = _store_int8 if scheme == "dynamic" else _store_float16
        store(graph)
        graph.sort()
        write_file(graph, path)

    def _write_int8(
        self, path: Path, float_layers: Collection[str], io: str | None
    ) -> None:
        graph = self._graph()
        _round_kernels(graph, self._kernels, float_layers)
        pixels = self._source.pixels
        write_file(
            quantize(graph, self._ranges, float_layers, io, pixels), path
        )

    def float_layers(self, path: Path) -> tuple[str, ...]:
        """Return the layers of an artifact that ONNX Runtime computes in float.

        They are read from the graph as ONNX Runtime optimizes it, before it
        changes the memory layout.
        """
        try:
            graph = onnx.load(path, load_external_data=False).graph
            integer = {
                node.name
                for node in _optimized(path)
                if node.op_type in INTEGER_OPERATORS
            }
        except Exception as error:
            raise ArtifactError(
                f"{path} is not a complete ONNX file: {reason_of(error)}; "
                "export the model again"
            ) from error
        constants = {tensor.name for tensor in graph.initializer} | {""}
        layers: dict[str, bool] = {}
        for node in graph.node:
            if (
                node.op_type in LAYERS | {"MatMulInteger"}
                and node.input[1] in constants
            ):
                layers.setdefault(layer_name(node), False)
                layers[layer_name(node)] |= node.name not in integer
            elif constants.issuperset(node.input):
                constants.update(node.output)
        return tuple(layer for layer, is_float in layers.items() if is_float)


def _optimized(path: Path) -> Sequence[onnx.NodeProto]:
    """Return the nodes of an artifact after ONNX Runtime's optimization."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = (
        onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    )
    options.add_session_config_entry(
        "session.optimized_model_external_initializers_file_name", "weights"
    )
    with tempfile.TemporaryDirectory() as folder:
        file = options.optimized_model_filepath = f"{folder}/optimized.onnx"
        onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"]
        )
        return onnx.load(file, load_external_data=False).graph.node


def _round_kernels(
    graph: Graph,
    kernels: Mapping[str, np.ndarray],
    float_layers: Collection[str],
) -> None:
    """Replace the kernels of integer layers by rounded ones."""
    for node in layer_nodes(graph):
        kernel = graph.constants[node.input[1]]
        integers = kernels.get(kernel.weight or "")
        if integers is not None and layer_name(node) not in float_layers:
            is_product = node.op_type != "Conv"
            if not is_product:
                filters, channels, *sizes = kernel.shape
                integers = integers.reshape(*sizes, channels, filters)
                integers = np.moveaxis(integers, (-1, -2), (0, 1))
            rounded = partial(
                rounded_kernel, integers=integers, axis=int(is_product)
            )
            node.input[1] = graph.add_constant(
                kernel.derived(rounded), f"{node.input[1]}/rounded"
            )


def _store_float16(graph: Graph) -> None:
    """Store constants in float16 if they fit; ONNX Runtime casts them once."""
    for name, constant in list(graph.constants.items()):
        if (
            constant.dtype == np.float32
            and constant.size > SMALL
            and largest_weight(constant.load()) <= np.finfo(np.float16).max
        ):
            del graph.constants[name]
            narrow = constant.derived(
                partial(np.asarray, dtype=np.float16), dtype=np.float16
            )
            stored = graph.add_constant(narrow, f"{name}/float16")
            graph.add_node("Cast", [stored], name, to=FLOAT)


def _store_int8(graph: Graph) -> None:
    """Store kernels in int8; quantize the inputs of products at run time."""
    for node in layer_nodes(graph):
        name = node.input[1]
        is_product = node.op_type == "MatMul"
        integers, scale = f"{name}/int8", f"{name}/scale"
        if integers not in graph.constants:
            kernel = graph.constants[name]
            steps = kernel_scale(kernel.load(), int(is_product))
            to_int8 = partial(_to_int8, scale=steps)
            rounded = kernel.derived(to_int8, dtype=np.int8)
            graph.add_constant(rounded, integers)
            graph.add_constant(steps, scale)
        if is_product:
            _multiply_integers(graph, node, integers, scale)
        elif graph.constants.pop(name, None):
            # ONNX Runtime computes these once, when it opens the file; it
            # would run a DequantizeLinear in every call.
            wide = graph.add_node(
                "Cast", [integers], f"{name}/float32", to=FLOAT
            )
            graph.add_node("Mul", [wide, scale], name)


def _to_int8(kernel: np.ndarray, scale: np.ndarray) -> np.ndarray:
    steps = kernel / scale
    return np.rint(steps, out=steps).astype(np.int8)


def _multiply_integers(
    graph: Graph, node: onnx.NodeProto, integers: str, scale: str
) -> None:
    """Quantize the input of a product; ONNX Runtime fuses the nodes."""
    name, output = node.name, node.output[0]
    quantized = [f"{name}/{part}" for part in ("input", "scale", "zero_point")]
    graph.nodes.append(
        onnx.helper.make_node(
            "DynamicQuantizeLinear",
            node.input[:1],
            quantized,
            f"{name}/quantize",
        )
    )
    node.op_type = "MatMulInteger"
    node.input[:] = [quantized[0], integers, quantized[2]]
    node.output[0] = f"{name}/sums"
    sums = graph.add_node("Cast", node.output, f"{name}/Cast", to=FLOAT)
    scales = graph.add_node("Mul", [quantized[1], scale], f"{name}/scales")
    graph.add_node("Mul", [sums, scales], output)
