"""Rewrites that take out of a graph what tf2onnx leaves in it."""

from collections.abc import Iterable, Iterator
from functools import partial

import numpy as np
import onnx

from keras_inception_export.formats.onnx.graph import (
    SMALL,
    Constant,
    Graph,
    evaluate,
    read_values,
)
from keras_inception_export.formats.onnx.passes.channel_arithmetic import (
    fold_channel_arithmetic,
)

RANDOM_OPERATORS = frozenset(
    {
        "Bernoulli",
        "Multinomial",
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
    }
)
RECURRENT_OPERATORS = frozenset({"GRU", "LSTM", "RNN"})
REDUCTIONS = frozenset(
    {"ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum"}
)


def simplify(graph: Graph) -> None:
    """Apply every pass until the graph no longer shrinks."""
    count = None
    while count != len(graph.nodes):
        count = len(graph.nodes)
        sort_depth_first(graph)
        fold_constants(graph)
        fold_channel_arithmetic(graph)
        permute_reductions(graph)
        fix_reshapes(graph)
        remove_identities(graph)
        graph.prune()


def fold_constants(graph: Graph) -> None:
    """Replace each node whose inputs are constants by its value.

    A result that is larger than everything it is computed from stays a node,
    unless it is small.
    """
    outputs = {value.name for value in graph.outputs}
    kept = []
    for node in graph.nodes:
        names = [name for name in node.input if name]
        foldable = (
            names
            and not outputs.intersection(node.output)
            and all(name in graph.constants for name in names)
            and node.op_type not in RANDOM_OPERATORS | RECURRENT_OPERATORS
            and not any(attribute.HasField("g") for attribute in node.attribute)
        )
        if not foldable or not _fold(graph, node, names):
            kept.append(node)
    graph.nodes = kept


def _fold(graph: Graph, node: onnx.NodeProto, names: list[str]) -> bool:
    inputs = [graph.constants[name] for name in names]
    weight = next((item.weight for item in inputs if item.weight), None)
    results = {
        name: Constant.of(
            partial(_output, node, graph.opset, inputs, index), weight
        )
        for index, name in enumerate(node.output)
        if name
    }
    limit = max(SMALL, sum(constant.size for constant in inputs))
    if any(result.size > limit for result in results.values()):
        return False
    graph.constants.update(results)
    return True


def _output(
    node: onnx.NodeProto, opset: int, inputs: list[Constant], index: int
) -> np.ndarray:
    return evaluate(node, opset, inputs)[index]


def remove_identities(graph: Graph) -> None:
    """Drop every Identity that no output needs, in the bodies too.

    Of several outputs with one value, the first is computed and the others
    are copies of it.
    """
    graph.nodes = _without_identities(
        graph.nodes, [value.name for value in graph.outputs]
    )


def _without_identities(
    nodes: Iterable[onnx.NodeProto], outputs: list[str]
) -> list[onnx.NodeProto]:
    copies = {
        node.output[0]: node.input[0]
        for node in nodes
        if node.op_type == "Identity"
    }
    kept = [node for node in nodes if node.op_type != "Identity"]
    computed = {name for node in kept for name in node.output}
    renamed: dict[str, str] = {}
    added = []
    for output in dict.fromkeys(outputs):
        root = _root(output, copies)
        if root in computed and root not in renamed:
            renamed[root] = output
        elif root in computed or root != output:
            added.append((root, output))
    for copy in copies:
        root = _root(copy, copies)
        renamed[copy] = renamed.get(root, root)
    for node in kept:
        rename_reads(node, renamed)
        for index, name in enumerate(node.output):
            node.output[index] = renamed.get(name, name)
        for attribute in node.attribute:
            if attribute.HasField("g"):
                body = attribute.g
                inner = _without_identities(
                    list(body.node), [value.name for value in body.output]
                )
                del body.node[:]
                body.node.extend(inner)
    return kept + [
        onnx.helper.make_node("Identity", [renamed.get(root, root)], [output])
        for root, output in added
    ]


def rename_reads(node: onnx.NodeProto, renamed: dict[str, str]) -> None:
    """Rename the values that a node reads, by its bodies too."""
    for index, name in enumerate(node.input):
        node.input[index] = renamed.get(name, name)
    for attribute in node.attribute:
        if attribute.HasField("g"):
            for inner in attribute.g.node:
                rename_reads(inner, renamed)


def _root(name: str, copies: dict[str, str]) -> str:
    while name in copies:
        name = copies[name]
    return name


def sort_depth_first(graph: Graph) -> None:
    """Order the nodes depth-first from the outputs."""
    names = [value.name for value in graph.outputs]
    graph.nodes = depth_first(graph.nodes, names)


def depth_first(
    nodes: list[onnx.NodeProto], outputs: list[str]
) -> list[onnx.NodeProto]:
    """Return the nodes that outputs depend on, each after what it reads."""
    producers = {name: node for node in nodes for name in node.output if name}
    done: set[str] = set()
    ordered = []
    stack: list[tuple[onnx.NodeProto, Iterator[str]]] = []

    def visit(name: str) -> None:
        node = producers.get(name)
        if node is not None and name not in done:
            done.update(node.output)
            stack.append((node, read_values(node)))

    for output in outputs:
        visit(output)
        while stack:
            node, reads = stack[-1]
            name = next(reads, None)
            if name is not None:
                visit(name)
            else:
                ordered.append(node)
                stack.pop()
    return ordered


def permute_reductions(graph: Graph) -> None:
    """Let a reduction read what its Transpose reads, by permuted axes."""
    producers = graph.producers()
    for node in graph.nodes:
        source = producers.get(node.input[0]) if node.input else None
        if (
            node.op_type not in REDUCTIONS
            or source is None
            or source.op_type != "Transpose"
            or attribute_of(node, "keepdims", 1)
        ):
            continue
        order = list(attribute_of(source, "perm", ()))
        axes = _reduced_axes(graph, node)
        if axes is None or not order:
            continue
        reduced = [order[axis] for axis in axes]
        kept = [axis for axis in order if axis not in reduced]
        if kept == sorted(kept):
            node.input[0] = source.input[0]
            _set_reduced_axes(graph, node, sorted(reduced))


def _reduced_axes(graph: Graph, node: onnx.NodeProto) -> list[int] | None:
    if len(node.input) > 1:
        value = graph.value(node.input[1])
        return None if value is None else value.tolist()
    return list(attribute_of(node, "axes", ())) or None


def _set_reduced_axes(
    graph: Graph, node: onnx.NodeProto, axes: list[int]
) -> None:
    if len(node.input) > 1:
        node.input[1] = graph.add_value(np.array(axes, np.int64))
        return
    for attribute in node.attribute:
        if attribute.name == "axes":
            attribute.ints[:] = axes


def fix_reshapes(graph: Graph) -> None:
    """Give a constant shape to a Reshape with at most one unknown axis.

    An axis that keeps its place and length, though unknown, is a 0. A Reshape
    to the shape that is there already becomes an Identity.
    """
    types = graph.inferred_types()
    for node in graph.nodes:
        if node.op_type != "Reshape":
            continue
        before = axis_lengths(types.get(node.input[0]))
        after = axis_lengths(types.get(node.output[0]))
        if after is None or 0 in after:
            continue
        if before is not None and _same_shape(before, after):
            node.op_type = "Identity"
            del node.input[1:], node.attribute[:]
            continue
        shape = [
            length
            if isinstance(length, int)
            else 0
            if length and before and before[axis : axis + 1] == [length]
            else -1
            for axis, length in enumerate(after)
        ]
        if shape.count(-1) <= 1 and node.input[1] not in graph.constants:
            node.input[1] = graph.add_value(np.array(shape, np.int64))


def _same_shape(before: list[int | str], after: list[int | str]) -> bool:
    """Tell whether two shapes with equally many elements are the same.

    One axis of unknown length follows from the others.
    """
    if len(before) != len(after):
        return False
    differing = [
        (old, new)
        for old, new in zip(before, after, strict=True)
        if old != new or not old
    ]
    return not differing or (
        len(differing) == 1
        and not any(isinstance(length, int) for length in differing[0])
    )


def axis_lengths(kind: onnx.TypeProto.Tensor | None) -> list[int | str] | None:
    """Return each axis's length, or symbol; None where the rank is unknown.

    An axis that has neither is an empty string.
    """
    if kind is None or not kind.HasField("shape"):
        return None
    return [
        axis.dim_value if axis.HasField("dim_value") else axis.dim_param
        for axis in kind.shape.dim
    ]


def attribute_of(node: onnx.NodeProto, name: str, default):
    """Return the value of a node's attribute."""
    for attribute in node.attribute:
        if attribute.name == name:
            return onnx.helper.get_attribute_value(attribute)
    return default
