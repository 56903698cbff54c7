"""Which operators ONNX Runtime can run, and on which types.

`widen_integers` rewrites what it cannot run on small integers; what is left is
found by `check_runnable`, before an artifact is written.
"""

import functools
import re
from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

import onnx
import onnxruntime
from onnx import TensorProto
from onnxruntime.capi import onnxruntime_pybind11_state as runtime

from keras_inception_export.errors import ConversionError, reason_of
from keras_inception_export.formats.onnx.graph import Graph

WIDER: Mapping[int, tuple[int, ...]] = {
    TensorProto.BOOL: (TensorProto.INT32,),
    TensorProto.INT8: (TensorProto.INT32, TensorProto.INT64),
    TensorProto.INT16: (TensorProto.INT32, TensorProto.INT64),
    TensorProto.UINT8: (TensorProto.INT32, TensorProto.INT64),
    TensorProto.UINT16: (TensorProto.INT32, TensorProto.INT64),
    TensorProto.UINT32: (TensorProto.INT64,),
    TensorProto.INT32: (TensorProto.INT64,),
}
"""The types that contain every value of an integer type, narrowest first."""


class _Kernel(NamedTuple):
    """The operator sets and the types of each type variable of a kernel."""

    first: int
    last: int
    types: Mapping[str, frozenset[str]]


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
        wider = _missing(node, graph.opset, types)
        before: list[onnx.NodeProto] = []
        after: list[onnx.NodeProto] = []
        for values, variables, casts in (
            (node.input, _variables(node, graph.opset, "inputs"), before),
            (node.output, _variables(node, graph.opset, "outputs"), after),
        ):
            for index, variable in enumerate(variables[: len(values)]):
                name = values[index]
                if variable not in wider or not name:
                    continue
                values[index] = f"{node.name}_{len(nodes)}_{name}_wide"
                if casts is before:
                    source, target, to = name, values[index], wider[variable]
                else:
                    source, target, to = values[index], name, types[name]
                cast = onnx.helper.make_node(
                    "Cast", [source], [target], f"{target}/Cast", to=to
                )
                casts.append(cast)
                if node.name in graph.layers:
                    graph.layers[cast.name] = graph.layers[node.name]
        nodes += [*before, node, *after]
    graph.nodes = nodes


def _variables(node: onnx.NodeProto, opset: int, side: str) -> list[str]:
    """Return the type variable of each input or output of a node."""
    if not onnx.defs.has(node.op_type, opset, node.domain):
        return []
    schema = onnx.defs.get_schema(node.op_type, opset, node.domain)
    formal = list(getattr(schema, side))
    count = len(node.input if side == "inputs" else node.output)
    formal += formal[-1:] * (count - len(formal))
    return [parameter.type_str for parameter in formal]


def _missing(
    node: onnx.NodeProto, opset: int, types: Mapping[str, int]
) -> dict[str, int]:
    """Return the wider type of each type variable that needs one."""
    kernels = [
        kernel
        for kernel in _kernels()[node.op_type]
        if kernel.first <= _version(node.op_type, opset) <= kernel.last
    ]
    given: dict[str, int] = {}
    for side, names in (("inputs", node.input), ("outputs", node.output)):
        for name, variable in zip(
            names, _variables(node, opset, side), strict=False
        ):
            if name and name in types:
                given.setdefault(variable, types[name])

    def runs(chosen: Mapping[str, int]) -> bool:
        return any(
            all(
                _type_name(chosen[variable]) in allowed
                for variable, allowed in kernel.types.items()
                if variable in chosen
            )
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
        for wider in (TensorProto.INT32, TensorProto.INT64)
    ]
    for choice in (*single, *together):
        if runs({**given, **choice}):
            return choice
    return {}


@functools.cache
def _kernels() -> Mapping[str, list[_Kernel]]:
    """Return the kernels of the CPU provider by operator."""
    kernels = defaultdict(list)
    for kernel in runtime.get_all_opkernel_def():
        if kernel.provider == "CPUExecutionProvider" and not kernel.domain:
            first, last = kernel.version_range
            types = {
                name: frozenset(allowed)
                for name, allowed in kernel.type_constraints.items()
            }
            kernels[kernel.op_name].append(_Kernel(first, last, types))
    return kernels


def _version(operator: str, opset: int) -> int:
    """Return the version of an operator in an operator set."""
    return onnx.defs.get_schema(operator, opset).since_version


def _type_name(kind: int) -> str:
    name = TensorProto.DataType.Name(kind).lower()
    return f"tensor({name})"


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
        raise ConversionError(
            f"{_source(graph, node)} cannot be run by ONNX Runtime: {reason}; "
            "use float32 or int32 there, or export another format"
        ) from error


def _source(graph: Graph, node: str) -> str:
    """Return the layer of a named node, else the node, for a message."""
    layers = {
        *graph.layers.values(),
        *(
            x.weight.rpartition("/")[0]
            for x in graph.constants.values()
            if x.weight
        ),
    }
    scope = node
    while scope := scope.rpartition("/")[0]:
        if scope in layers:
            return f"layer {scope!r}"
    return f"node {node!r}" if node else "the model"
