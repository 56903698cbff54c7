"""The structure of a network, as a chain of steps that may divide.

It is small and needs no Keras to be read: a report draws the network from it.
"""

from collections.abc import Sequence
from typing import Any

import keras

from keras_inception_layers.layers.inception_block import InceptionBlock

MAX_STEPS = 2000
MAX_DEPTH = 10
"""Steps, and steps within each other, that are recorded."""

Step = dict[str, Any]
Graph = Sequence[tuple[Any, Sequence[int]]]
"""Per call of a layer, in the order of computation: the layer and its output,
and the indices of the calls whose outputs it reads."""


def structure_of(model: keras.Model) -> list[Step]:
    """Return the steps from a functional model's inputs to its outputs.

    A step is a layer, with `name`, `type`, `detail` and the `shape` of its
    output; or it divides into `branches`, each a list of steps, which are
    joined at its end. A block is both. A branch without steps passes its input
    on. What is nested too deep, or follows after too many steps, is left out.
    """
    return _bounded(_of_model(model), MAX_STEPS, MAX_DEPTH)[0]


def _of_model(model: keras.Model) -> list[Step]:
    graph = _graph(model)
    sources = [set(read) for _, read in graph]
    steps = [_step(layer, shape) for (layer, shape), _ in graph]
    ends = set(range(len(graph))) - set().union(*sources)
    # A source before the inputs, and a sink after all that nothing reads.
    edges = {(i, j) for j, read in enumerate(sources) for i in read}
    edges |= {(-1, j) for j, read in enumerate(sources) if not read}
    edges |= {(i, len(graph)) for i in ends}
    return _chain(range(-1, len(graph) + 1), edges, steps)


def _graph(model: keras.Model) -> list[tuple[Any, list[int]]]:
    index: dict[int, int] = {}
    graph: list[tuple[Any, list[int]]] = []
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for node in model._nodes_by_depth[depth]:
            read = [index[id(x)] for x in node.input_tensors]
            outputs = node.output_tensors
            index.update((id(x), len(graph)) for x in outputs)
            graph.append(((node.operation, outputs[0].shape), read))
    return graph


def _chain(
    nodes: Sequence[int], edges: set[tuple[int, int]], steps: Sequence[Step]
) -> list[Step]:
    """Return the steps between the first and the last of sorted nodes.

    The nodes that no edge passes over are computed on every path, so the
    network is a chain of them. What lies between two of them divides into
    branches.
    """
    place = {node: i for i, node in enumerate(nodes)}
    inner = [(place[i], place[j]) for i, j in edges if {i, j} <= place.keys()]
    reach = [0] * len(nodes)
    for i, j in inner:
        reach[i] = max(reach[i], j)
    cuts, farthest = [], 0
    for i in range(len(nodes)):
        if farthest <= i:
            cuts.append(i)
        farthest = max(farthest, reach[i])
    chain: list[Step] = []
    for start, end in zip(cuts, cuts[1:], strict=False):
        between = nodes[start + 1 : end]
        if between:
            chain += _divided(nodes[start], between, nodes[end], edges, steps)
        if end < len(nodes) - 1:
            chain.append(steps[nodes[end]])
    return chain


def _divided(first, between, last, edges, steps) -> list[Step]:
    parts = _connected(between, edges)
    shortcut = (first, last) in edges
    if len(parts) + shortcut < 2:  # the branches read each other
        return [steps[node] for node in between]
    branches = []
    for part in parts:
        joined = {*part}
        own = {(i, j) for i, j in edges if i in joined and j in joined}
        own |= {(first, j) for i, j in edges if j in joined and i not in joined}
        own |= {(i, last) for i, j in edges if i in joined and j not in joined}
        branches.append(_chain([first, *part, last], own, steps))
    return [{"branches": branches + [[]] * shortcut}]


def _connected(nodes, edges) -> list[list[int]]:
    """Return sorted nodes in groups that no edge connects."""
    group = {node: {node} for node in nodes}
    for i, j in edges:
        if i in group and j in group and group[i] is not group[j]:
            group[i] |= group[j]
            for node in group[j]:
                group[node] = group[i]
    distinct = {id(x): x for x in group.values()}
    return sorted(sorted(x) for x in distinct.values())


def _step(layer: Any, shape: Any = None) -> Step:
    step: Step = {"name": layer.name, "type": type(layer).__name__}
    if detail := _detail(layer):
        step["detail"] = detail
    if isinstance(shape, (tuple, list)):
        step["shape"] = list(shape)
    if isinstance(layer, InceptionBlock):
        step["branches"] = [[*map(_step, row)] for row in layer.branches]
        if hasattr(layer, "residual_scale"):
            step["branches"].append([])
    elif isinstance(layer, keras.Model) and hasattr(layer, "_nodes_by_depth"):
        step["branches"] = [_of_model(layer)]
    return step


def _detail(layer: Any) -> str:
    """Return the sizes of a layer, as `64 filters, 3 x 3, stride 2`."""
    inner = getattr(layer, "conv", layer)
    texts = []
    for name in ("filters", "units"):
        if isinstance(getattr(inner, name, None), int):
            texts.append(f"{getattr(inner, name)} {name}")
    for name in ("kernel_size", "pool_size"):
        if isinstance(getattr(inner, name, None), (tuple, list)):
            texts.append(" x ".join(map(str, getattr(inner, name))))
    strides = getattr(inner, "strides", ())
    if isinstance(strides, (tuple, list)) and {*strides} - {1}:
        shown = strides[:1] if len({*strides}) == 1 else strides
        texts.append(f"stride {' x '.join(map(str, shown))}")
    activation = getattr(layer, "activation", None)
    name = getattr(activation, "__name__", "linear")
    if name != "linear":
        texts.append(name)
    return ", ".join(texts)


def _bounded(
    steps: list[Step], room: int, depth: int
) -> tuple[list[Step], int]:
    """Return the first steps, and how many more may be recorded."""
    kept = []
    for step in steps:
        if room <= 0:
            break
        room -= 1
        found = {k: x for k, x in step.items() if k != "branches"}
        if "branches" in step and depth:
            found["branches"] = []
            for branch in step["branches"]:
                inner, room = _bounded(branch, room, depth - 1)
                found["branches"].append(inner)
        kept.append(found)
    return kept, room
