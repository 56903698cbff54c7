"""Which operators ONNX Runtime can run, and on which types.

`widen_integers` rewrites what it cannot run on small integers; what is left is
found by `check_runnable`, before an artifact is written.
"""

import functools
import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import onnx
import onnxruntime
from onnx import TensorProto
from onnxruntime.capi import onnxruntime_pybind11_state as runtime

from keras_inception_export.errors import ConversionError, reason_of
from keras_inception_export.formats.onnx.graph import Graph
from keras_inception_export.model.name_scopes import layer_in_scope

INT32, INT64 = TensorProto.INT32, TensorProto.INT64

WIDER: Mapping[int, tuple[int, ...]] = {
    TensorProto.BOOL: (INT32,),
    TensorProto.INT8: (INT32, INT64),
    TensorProto.INT16: (INT32, INT64),
    TensorProto.UINT8: (INT32, INT64),
    TensorProto.UINT16: (INT32, INT64),
    TensorProto.UINT32: (INT64,),
    INT32: (INT64,),
}
"""The types that contain every value of an integer type, narrowest first."""


def widen_integers(graph: Graph) -> None:
    """Compute in wider integers what cannot be computed in the given ones.

    The result is the same: integers wrap, and converting to the narrower type
    wraps too.
    """
    types = {
        name: kind.elem_type for name, kind in graph.inferred_types().items()
    } | {
        name: onnx.helper.np_dtype_to_tensor_dtype(constant.dtype)
        for name, constant in graph.constants.items()
    }
    nodes: list[onnx.NodeProto] = []
    for node in graph.nodes:
        operands = _operands(node, graph.opset)
        given: dict[str, int] = {}
        for values, index, variable in operands:
            if values[index] in types:
                given.setdefault(variable, types[values[index]])
        wider = _missing(node.op_type, graph.opset, given)
        for attribute in node.attribute:
            if attribute.name == "dtype":  # of the output, as in EyeLike
                variable = operands[-1][2]
                attribute.i = wider.get(variable, attribute.i)
        before: list[onnx.NodeProto] = []
        after: list[onnx.NodeProto] = []
        for position, (values, index, variable) in enumerate(operands):
            name = values[index]
            if variable not in wider or not name:
                continue
            values[index] = wide = f"{node.name}_{len(nodes)}_{name}_wide"
            is_read = position < len(node.input)
            ends = (name, wide) if is_read else (wide, name)
            cast = onnx.helper.make_node(
                "Cast",
                ends[:1],
                ends[1:],
                f"{ends[1]}/Cast",
                to=wider[variable] if is_read else types[name],
            )
            (before if is_read else after).append(cast)
            if node.name in graph.layers:
                graph.layers[cast.name] = graph.layers[node.name]
        nodes += [*before, node, *after]
    graph.nodes = nodes


def _operands(node: onnx.NodeProto, opset: int) -> list[tuple[Any, int, str]]:
    """Return where each name of a value is, and the variable for its type."""
    schema = onnx.defs.get_schema(node.op_type, opset, node.domain)
    return [
        (values, index, formal[min(index, len(formal) - 1)].type_str)
        for formal, values in (
            (schema.inputs, node.input),
            (schema.outputs, node.output),
        )
        for index in range(len(values))
    ]


def _missing(
    operator: str, opset: int, given: Mapping[str, int]
) -> dict[str, int]:
    """Return the wider type of each type variable that needs one."""
    kernels = [
        kernel.type_constraints
        for kernel in _kernels()[operator]
        if kernel.version_range[0]
        <= onnx.defs.get_schema(operator, opset).since_version
        <= kernel.version_range[1]
    ]

    def runs(chosen: Mapping[str, int]) -> bool:
        names = {
            variable: f"tensor({TensorProto.DataType.Name(kind).lower()})"
            for variable, kind in chosen.items()
        }
        return any(
            all(names.get(x, types[0]) in types for x, types in kernel.items())
            for kernel in kernels
        )

    if not kernels or runs(given):
        return {}
    single: list[dict[str, int]] = [
        {variable: wider}
        for variable, kind in given.items()
        for wider in WIDER.get(kind, ())
    ]
    together: list[dict[str, int]] = [
        {name: wider for name in given if wider in WIDER.get(given[name], ())}
        for wider in (INT32, INT64)
    ]
    choices = (x for x in (*single, *together) if runs({**given, **x}))
    return next(choices, {})


@functools.cache
def _kernels() -> Mapping[str, list[Any]]:
    """Return the kernels of the CPU provider by operator."""
    kernels = defaultdict(list)
    for kernel in runtime.get_all_opkernel_def():
        if kernel.provider == "CPUExecutionProvider" and not kernel.domain:
            kernels[kernel.op_name].append(kernel)
    return kernels


def check_runnable(graph: Graph) -> None:
    """Open the graph, without its weights, in ONNX Runtime.

    Raises:
        ConversionError: ONNX Runtime cannot run one of the nodes.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.graph_optimization_level = level
    content = graph.model(held=()).SerializeToString()
    try:
        onnxruntime.InferenceSession(
            content, options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:
        reason = reason_of(error)
        named = re.search(r"node (?:with name '([^']*)'|\((.*?)\))", reason)
        node = next(filter(None, named.groups()), "") if named else ""
        layer = layer_in_scope(node, graph.nested_names)
        source = f"node {node!r}" if node else "the model"
        if layer:
            source = f"layer {layer!r}"
        raise ConversionError(
            f"{source} cannot be run by ONNX Runtime: {reason}; "
            "use float32 there, or export another format"
        ) from error
