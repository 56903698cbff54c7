"""Write quantized ONNX artifacts: float16, dynamic and int8.

They are written from the graph of the float artifact, whose names they keep,
and opened by `onnx.runtime.open_runner` like any other.
"""

import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx
import onnxruntime

from keras_inception_export.errors import ArtifactError, reason_of
from keras_inception_export.formats.onnx.export import float_graph
from keras_inception_export.formats.onnx.graph import SMALL, Constant, Graph
from keras_inception_export.formats.onnx.passes.sorting import sort_depth_first
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
    calibration_arrays,
    check_layers,
    kernel_scale,
    largest_weight,
    rounded_kernel,
)
from keras_inception_export.formats.schemes import check_scheme
from keras_inception_export.model.inference_model import InferenceModel

FLOAT = onnx.TensorProto.FLOAT
INTEGER_OPERATORS = frozenset(
    "ConvInteger DynamicQuantizeMatMul MatMulInteger MatMulIntegerToFloat "
    "QGemm QLinearConv QLinearMatMul".split()
)
"""The operators with which ONNX Runtime computes a layer on integers."""


class OnnxQuantizer:
    """Writes quantized ONNX artifacts of one inference model.

    The graph is converted once, and calibrated when int8 is first written.

    - `"float16"` stores the weights in float16 and computes in float32 at the
      speed of float: ONNX Runtime's CPU kernels have no float16, and its own
      conversion, which inserts casts around each operator, took 1.15 times as
      long and was less accurate.
    - `"dynamic"` stores the weights in int8. Matrix products quantize their
      input at run time. Convolutions compute in float, at its speed: with
      inputs quantized at run time, ONNX Runtime's convolution took 1.5 times
      as long as float with uint8 weights, and 5.9 times with int8.
    - `"int8"` computes on integers throughout.

    Args:
        inference_model: the inference model.
        folder: a folder for temporary files.
        opset: the version of the ONNX operators. Defaults to `18`.
        calibration: one array per input name, one row per sample, on which
            int8 measures ranges. Defaults to `None`.
        kernels: the integers that int8 rounds kernels to, by path of the Keras
            variable and in its order of axes. Other kernels are rounded to
            nearest. Defaults to none.

    Attributes:
        layers: the layers that int8 applies to, in network order: convolutions
            and matrix products, by the path of their kernel.
    """

    def __init__(
        self,
        inference_model: InferenceModel,
        folder: Path,
        *,
        opset: int = 18,
        calibration: Mapping[str, np.ndarray] | None = None,
        kernels: Mapping[str, np.ndarray] = MappingProxyType({}),
    ) -> None:
        self._graph = float_graph(inference_model, opset)
        self._kernels = kernels
        self._specs = inference_model.inputs
        self._pixels = inference_model.pixels
        self._folder = folder
        self._calibration = calibration
        self.layers = tuple(
            dict.fromkeys(map(layer_name, layer_nodes(self._graph)))
        )

    def write(
        self,
        path: Path,
        scheme: str,
        *,
        float_layers: Collection[str] = (),
        io: str | None = None,
    ) -> None:
        """Write an artifact at `path`.

        Args:
            path: the `.onnx` file. Weights that exceed the size limit of a
                protobuf file are written next to it, in `<path>.data`.
            scheme: `"float16"`, `"dynamic"` or `"int8"`.
            float_layers: the `layers` that int8 leaves in float32.
            io: `"int8"` or `"uint8"`, the dtype of the float32 inputs and
                outputs in int8. Defaults to `None`: they stay float32.

        Raises:
            RequestError: if the arguments do not fit together.
        """
        check_scheme(scheme, float_layers, io)
        check_layers(float_layers, self.layers)
        graph = self._graph.copy()
        if scheme == "int8":
            _round_kernels(graph, self._kernels, float_layers)
            graph = quantize(
                graph, self._ranges, float_layers, io, self._pixels
            )
        elif scheme == "dynamic":
            _store_int8(graph)
        else:
            _store_float16(graph)
        sort_depth_first(graph)
        graph.prune()
        write_file(graph, path)

    def float_layers(self, path: Path) -> tuple[str, ...]:
        """Return the layers of an artifact that ONNX Runtime computes in float.

        They are read from the graph as ONNX Runtime optimizes it, before it
        changes the memory layout.

        Raises:
            ArtifactError: if the file is missing or damaged.
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

    @cached_property
    def _ranges(self) -> Ranges:
        samples = calibration_arrays(self._specs, self._calibration)
        ranges = calibrate(self._graph, self._folder, samples)
        return ranges | dict.fromkeys(self._pixels, PIXELS)


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
            node.input[1] += "/rounded"
            graph.constants[node.input[1]] = replace(
                kernel, load=partial(_rounded, kernel, integers, node.op_type)
            )


def _rounded(
    kernel: Constant, integers: np.ndarray, operator: str
) -> np.ndarray:
    if operator == "Conv":
        filters, channels, *sizes = kernel.shape
        integers = integers.reshape(*sizes, channels, filters)
        integers = np.moveaxis(integers, (-1, -2), (0, 1))
    return rounded_kernel(kernel.load(), integers, int(operator != "Conv"))


def _store_float16(graph: Graph) -> None:
    """Store constants in float16 if they fit; ONNX Runtime casts them once."""
    float16 = np.dtype(np.float16)
    for name, constant in list(graph.constants.items()):
        if (
            constant.dtype == np.float32
            and constant.size > SMALL
            and largest_weight(constant.load()) <= np.finfo(float16).max
        ):
            del graph.constants[name]
            graph.constants[f"{name}/float16"] = Constant(
                constant.shape, float16, partial(_to_float16, constant)
            )
            _add(graph, "Cast", [f"{name}/float16"], name, to=FLOAT)


def _to_float16(constant: Constant) -> np.ndarray:
    return constant.load().astype(np.float16)


def _store_int8(graph: Graph) -> None:
    """Store kernels in int8; quantize the inputs of products at run time."""
    for node in layer_nodes(graph):
        name = node.input[1]
        is_product = node.op_type == "MatMul"
        integers, scale = f"{name}/int8", f"{name}/scale"
        if integers not in graph.constants:
            kernel = graph.constants[name]
            steps = kernel_scale(kernel.load(), int(is_product))
            graph.constants[integers] = Constant(
                kernel.shape,
                np.dtype(np.int8),
                partial(_to_int8, kernel, steps),
            )
            graph.constants[scale] = Constant.of(partial(np.array, steps))
        if is_product:
            _multiply_integers(graph, node, integers, scale)
        elif graph.constants.pop(name, None):
            # ONNX Runtime computes these once, when it opens the file; it
            # would run a DequantizeLinear in every call.
            _add(graph, "Cast", [integers], f"{name}/float32", to=FLOAT)
            _add(graph, "Mul", [f"{name}/float32", scale], name)


def _to_int8(kernel: Constant, scale: np.ndarray) -> np.ndarray:
    steps = kernel.load() / scale
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
    _add(graph, "Cast", node.output, f"{name}/Cast", to=FLOAT)
    _add(graph, "Mul", [quantized[1], scale], f"{name}/scales")
    _add(graph, "Mul", [f"{name}/Cast", f"{name}/scales"], output)


def _add(
    graph: Graph,
    operator: str,
    inputs: Sequence[str],
    output: str,
    **attributes: Any,
) -> None:
    """Add a node with one output."""
    name = f"{output}/{operator}"
    graph.nodes.append(
        onnx.helper.make_node(operator, inputs, [output], name, **attributes)
    )
