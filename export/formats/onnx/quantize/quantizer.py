"""Quantized ONNX: float16, dynamic and int8.

Written from the graph of the float artifact, whose names stay; run by
`onnx.open_runner` like any other.
"""

import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from types import MappingProxyType

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
    calibration_arrays,
    check_layers,
    kernel_scale,
    largest_weight,
    rounded_kernel,
)
from keras_inception_export.formats.schemes import check_scheme
from keras_inception_export.model.inference_model import InferenceModel

INTEGER_OPERATORS = frozenset(
    {
        "ConvInteger",
        "DynamicQuantizeMatMul",
        "MatMulInteger",
        "MatMulIntegerToFloat",
        "QGemm",
        "QLinearConv",
        "QLinearMatMul",
    }
)
"""What ONNX Runtime computes a layer with where it computes on integers."""


class OnnxQuantizer:
    """Writes quantized ONNX artifacts of one inference model.

    The graph is converted once, and calibrated once, when int8 is first
    written.

    - `"float16"` holds the weights in float16, and computes in float32 at the
      speed of float: ONNX Runtime's CPU kernels have no float16, and its own
      conversion, which inserts casts around each, took 1.15 times as long
      for less accuracy.
    - `"dynamic"` holds the weights in int8. Matrix products quantize their
      input when they run. Convolutions compute in float, at its speed,
      since ONNX Runtime's convolution of inputs that are quantized at run
      time took 1.5 times as long as float with uint8 weights, and 5.9 times
      with int8.
    - `"int8"` computes on integers all through.

    Args:
        inference_model: the inference model.
        folder: where there is space for temporary files.
        opset: the operator set. Defaults to `18`.
        calibration: an array an input name, one row a sample; what int8
            takes its ranges from. Defaults to `None`.
        kernels: the integers that "int8" and "dynamic" round kernels to, by
            the path of the Keras variable and in its order of axes. Any other
            is rounded to the nearest. Defaults to none.

    Attributes:
        layers: the layers that int8 applies to, in the order of the network:
            convolutions and matrix products, by the path of their kernel.
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
            path: the `.onnx` file; weights that would not fit a protobuf file
                are written beside it, with `.data` added to its name.
            scheme: `"float16"`, `"dynamic"` or `"int8"`.
            float_layers: of `layers`, those that int8 leaves in float32.
            io: `"int8"` or `"uint8"`, the dtype that int8 gives to inputs and
                outputs in float32. Defaults to `None`: they stay float32.

        Raises:
            RequestError: an argument does not fit the others.
        """
        check_scheme(scheme, float_layers, io)
        check_layers(float_layers, self.layers)
        graph = self._graph.copy()
        if scheme != "float16":
            _round_kernels(graph, self._kernels, float_layers)
        if scheme == "int8":
            graph = quantize(graph, self._ranges, float_layers, io)
        else:
            store = {"float16": _store_float16, "dynamic": _store_int8}
            store[scheme](graph)
        sort_depth_first(graph)
        graph.prune()
        write_file(graph, path)

    def float_layers(self, path: Path) -> tuple[str, ...]:
        """Return the layers that ONNX Runtime computes in float.

        They are told by the graph as ONNX Runtime optimizes it, before it
        changes the order of axes in memory.

        Args:
            path: the artifact.

        Raises:
            ArtifactError: the file is missing or damaged.
        """
        try:
            graph = onnx.load(path, load_external_data=False).graph
            with tempfile.TemporaryDirectory() as folder:
                optimized = _optimized(path, Path(folder))
        except Exception as error:
            raise ArtifactError(
                f"{path} is not a complete ONNX file: {reason_of(error)}; export "
                "the model again"
            ) from error
        integer = {
            node.name for node in optimized if node.op_type in INTEGER_OPERATORS
        }
        constants = {tensor.name for tensor in graph.initializer} | {""}
        layers: dict[str, bool] = {}
        for node in graph.node:
            if (
                node.op_type in LAYERS | {"MatMulInteger"}
                and node.input[1] in constants
            ):
                layer = layer_name(node)
                layers[layer] = (
                    layers.get(layer, False) or node.name not in integer
                )
            elif constants.issuperset(node.input):
                constants.update(node.output)
        return tuple(layer for layer, is_float in layers.items() if is_float)

    @cached_property
    def _ranges(self) -> Ranges:
        samples = calibration_arrays(self._specs, self._calibration)
        return calibrate(self._graph, self._folder, samples)


def _optimized(path: Path, folder: Path) -> list[onnx.NodeProto]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = (
        onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    )
    file = folder / "optimized.onnx"
    options.optimized_model_filepath = str(file)
    options.add_session_config_entry(
        "session.optimized_model_external_initializers_file_name", "weights"
    )
    onnxruntime.InferenceSession(
        path, options, providers=["CPUExecutionProvider"]
    )
    return list(onnx.load(file, load_external_data=False).graph.node)


def _round_kernels(
    graph: Graph,
    kernels: Mapping[str, np.ndarray],
    float_layers: Collection[str],
) -> None:
    """Give the layers that are not in float kernels rounded already."""
    for node in layer_nodes(graph):
        name = node.input[1]
        kernel = graph.constants[name]
        integers = kernels.get(kernel.weight or "")
        if integers is not None and layer_name(node) not in float_layers:
            node.input[1] = f"{name}/rounded"
            graph.constants[node.input[1]] = replace(
                kernel, load=partial(_rounded, kernel, integers, node.op_type)
            )


def _rounded(
    kernel: Constant, integers: np.ndarray, operator: str
) -> np.ndarray:
    if operator == "Conv":
        integers = np.moveaxis(integers, (-1, -2), (0, 1))
        return rounded_kernel(kernel.load(), integers, axis=0)
    return rounded_kernel(kernel.load(), integers, axis=1)


def _store_float16(graph: Graph) -> None:
    """Hold in float16 what fits; it is cast once, when the file is opened."""
    for name, constant in list(graph.constants.items()):
        if (
            constant.dtype == np.float32
            and constant.size > SMALL
            and largest_weight(constant.load()) <= np.finfo(np.float16).max
        ):
            narrow = f"{name}/float16"
            graph.constants[narrow] = Constant(
                constant.shape,
                np.dtype(np.float16),
                partial(_narrow, constant),
            )
            del graph.constants[name]
            _add(graph, "Cast", [narrow], name, to=onnx.TensorProto.FLOAT)


def _narrow(constant: Constant) -> np.ndarray:
    return constant.load().astype(np.float16)


def _store_int8(graph: Graph) -> None:
    """Hold kernels in int8; let products quantize what they multiply."""
    for node in layer_nodes(graph):
        name = node.input[1]
        is_product = node.op_type == "MatMul"
        integers, scale = _quantized(graph, name, axis=1 if is_product else 0)
        if is_product:
            _multiply_integers(graph, node, integers, scale)
        elif name in graph.constants:
            # ONNX Runtime computes these when it opens the file; it would run
            # a DequantizeLinear in every call.
            del graph.constants[name]
            cast = f"{name}/float32"
            _add(graph, "Cast", [integers], cast, to=onnx.TensorProto.FLOAT)
            _add(graph, "Mul", [cast, scale], name)


def _quantized(graph: Graph, name: str, axis: int) -> tuple[str, str]:
    """Add a kernel in int8 and its scales along an axis; return the names."""
    names = f"{name}/int8", f"{name}/scale"
    if names[0] not in graph.constants:
        kernel = graph.constants[name]
        scale = kernel_scale(kernel.load(), axis)
        graph.constants[names[0]] = Constant(
            kernel.shape, np.dtype(np.int8), partial(_round, kernel, scale)
        )
        graph.constants[names[1]] = Constant.of(lambda: scale)
    return names


def _round(kernel: Constant, scale: np.ndarray) -> np.ndarray:
    steps = kernel.load() / scale
    return np.rint(steps, out=steps).astype(np.int8)


def _multiply_integers(
    graph: Graph, node: onnx.NodeProto, integers: str, scale: str
) -> None:
    """Let a product quantize its input; ONNX Runtime fuses the nodes."""
    name, real = node.name, node.input[0]
    quantized = [f"{name}/{part}" for part in ("input", "scale", "zero_point")]
    graph.nodes.append(
        onnx.helper.make_node(
            "DynamicQuantizeLinear", [real], quantized, f"{name}/quantize"
        )
    )
    node.op_type = "MatMulInteger"
    node.input[:] = [quantized[0], integers, quantized[2]]
    output = node.output[0]
    node.output[0] = f"{name}/sums"
    _add(graph, "Cast", node.output, f"{name}/Cast", to=onnx.TensorProto.FLOAT)
    _add(graph, "Mul", [quantized[1], scale], f"{name}/scales")
    _add(graph, "Mul", [f"{name}/Cast", f"{name}/scales"], output)


def _add(
    graph: Graph,
    operator: str,
    inputs: Sequence[str],
    output: str,
    **attributes,
) -> None:
    graph.nodes.append(
        onnx.helper.make_node(
            operator, inputs, [output], f"{output}/{operator}", **attributes
        )
    )
