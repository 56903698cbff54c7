"""The structure of a network, as a chain of steps that may divide.

It is small and needs no Keras to be read: a report draws the network from it.
"""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from operator import itemgetter
from typing import Any

import keras

from keras_inception_layers.layers.inception_block import InceptionBlock

MAX_STEPS = 2000
MAX_DEPTH = 10
"""Steps, and steps within each other, that are recorded."""

Step = dict[str, Any]
Edges = dict[tuple[int, int], int]
"""Pairs of calls of layers, numbered in the order of computation, of which the
second reads the first; and at which place among its inputs."""


def structure_of(model: keras.Model) -> list[Step]:
    """Return the steps from a functional model's inputs to its outputs.

    A step is a layer, with `name`, `type`, `detail` and the `shape` of its
    output; or it divides into `branches`, each a list of steps, which are
    joined at its end. A block is both. A branch without steps passes its input
    on. What is nested too deep, or follows after too many steps, is left out.
    """
    return _bounded(_of_model(model), MAX_STEPS, MAX_DEPTH)[0]


def _of_model(model: keras.Model) -> list[Step]:
    index: dict[int, int] = {}
    steps: list[Step] = []
    edges: Edges = {}
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for node in model._nodes_by_depth[depth]:
            for place, tensor in enumerate(node.input_tensors):
                edges[index[id(tensor)], len(steps)] = place
            if not node.input_tensors:
                edges[-1, len(steps)] = 0
            index.update((id(x), len(steps)) for x in node.output_tensors)
            shape = node.output_tensors[0].shape
            steps.append(_step(node.operation, shape))
    # A source before the inputs, and a sink after all that nothing reads.
    ends = set(range(len(steps))) - {i for i, _ in edges}
    places = {index[id(x)]: place for place, x in enumerate(model.outputs)}
    edges |= {(i, len(steps)): places.get(i, 0) for i in ends}
    return _chain(range(-1, len(steps) + 1), edges, steps)


def _chain(
    nodes: Sequence[int], edges: Edges, steps: Sequence[Step]
) -> list[Step]:
    """Return the steps between the first and the last of sorted nodes.

    The nodes that no edge passes over are computed on every path, so the
    network is a chain of them. What lies between two of them divides into
    branches.
    """
    reach = dict.fromkeys(nodes, nodes[0])
    for i, j in edges:
        reach[i] = max(reach[i], j)
    cuts, farthest = [], nodes[0]
    for place, node in enumerate(nodes):
        if farthest <= node:
            cuts.append(place)
        farthest = max(farthest, reach[node])
    starts = [nodes[place] for place in cuts]
    within: list[Edges] = [{} for _ in cuts]
    for edge, place in edges.items():
        within[bisect_right(starts, edge[0]) - 1][edge] = place
    chain: list[Step] = []
    for (start, end), own in zip(pairwise(cuts), within, strict=False):
        between = nodes[start + 1 : end]
        if between:
            chain += _divided(nodes[start], between, nodes[end], own, steps)
        if end < len(nodes) - 1:
            chain.append(steps[nodes[end]])
    return chain


def _divided(
    first: int,
    between: Sequence[int],
    last: int,
    edges: Edges,
    steps: Sequence[Step],
) -> list[Step]:
    """Return the branches between two nodes, in the order `last` reads them."""
    branches: list[tuple[int, list[Step]]] = []
    if (first, last) in edges:
        branches.append((edges[first, last], []))
    parts = _connected(between, edges)
    if len(parts) + len(branches) < 2:  # the branches read each other
        return [steps[node] for node in between]
    for part in parts:
        members = {*part}
        own = {
            (i if i in members else first, j if j in members else last): place
            for (i, j), place in edges.items()
            if i in members or j in members
        }
        order = min(place for (_, j), place in own.items() if j == last)
        branches.append((order, _chain([first, *part, last], own, steps)))
    branches.sort(key=itemgetter(0))
    return [{"branches": [branch for _, branch in branches]}]


def _connected(nodes: Sequence[int], edges: Edges) -> list[list[int]]:
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
        if isinstance(number := getattr(inner, name, None), int):
            texts.append(f"{number} {name}")
    for name in ("kernel_size", "pool_size"):
        if isinstance(size := getattr(inner, name, None), (tuple, list)):
            texts.append(" x ".join(map(str, size)))
    strides = getattr(inner, "strides", ())
    if isinstance(strides, (tuple, list)) and {*strides} - {1}:
        shown = strides[:1] if len({*strides}) == 1 else strides
        texts.append(f"stride {' x '.join(map(str, shown))}")
    activation = getattr(layer, "activation", None)
    texts.append(getattr(activation, "__name__", "linear"))
    return ", ".join(text for text in texts if text != "linear")


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
