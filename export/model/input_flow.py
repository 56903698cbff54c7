"""Follow the values of a model's inputs to the operations that consume them.

`follow` traces the layers that get input values, and only these, in a graph of
TensorFlow. Through operations that move values, or scale and shift them by
constants, it keeps for each element of a tensor which input element it is. So
it finds the consumers wherever they are: in nested models, in layers within
layers, behind casts, slices and concatenations.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_inception_export.model.call_hooks import observed
from keras_inception_export.model.name_scopes import functions_inlined

SIZES = {4: 64}
OTHER_SIZE = 12
"""The sizes of unknown axes, by the rank of the input, and of others."""


@dataclass(frozen=True)
class Flow:
    """What the elements of a tensor are: `scale * input + offset`.

    Args:
        elements: for each element its number among all elements of all
            inputs; -1 if it is none of them.
    """

    elements: np.ndarray
    scale: np.ndarray
    offset: np.ndarray

    def scaled(self, scale: Any, offset: Any) -> "Flow":
        """Return the flow of `scale * tensor + offset`."""
        elements, scale, offset = np.broadcast_arrays(
            self.elements, self.scale * scale, self.offset * scale + offset
        )
        return Flow(elements, scale, offset)


def follow(model: keras.Model, consume: Callable) -> list[np.ndarray]:
    """Follow the inputs of a Functional model to what consumes them.

    Args:
        consume: called with a TensorFlow operation, a Keras layer, or `None`
            for an output of the model, the position among its inputs, the
            `Flow`, and whether it is not followed further.

    Returns:
        For each flattened input of the model, the numbers of its elements.
    """
    walk = _Walk(consume)
    tensors = []
    for tensor in model.inputs:
        size = SIZES.get(len(tensor.shape), OTHER_SIZE)
        shape = tuple(size if n is None else n for n in tensor.shape[1:])
        tensors.append(walk.new_input(tensor, (tensor.shape[0] or 1, *shape)))
    numbers = [walk.flows[tensor.name].elements for tensor in tensors]
    with functions_inlined(), observed(model._flatten_layers(), walk.record):
        outputs = walk.through(model, tensors)
    for tensor in outputs:
        if tensor is not None and tensor.name in walk.flows:
            consume(None, 0, walk.flows[tensor.name], True)
    return numbers


class _Walk:
    """The graph that is traced, and the flow of each of its tensors."""

    def __init__(self, consume):
        self.consume = consume
        self.graph = tf.__internal__.FuncGraph("inputs")
        self.flows: dict[str, Flow] = {}
        self.calls: list[tuple[keras.Layer, list[str]]] = []
        self.done = 0
        self.elements = 0

    def placeholder(self, spec, shape=None):
        with self.graph.as_default():
            return tf.compat.v1.placeholder(spec.dtype, shape or spec.shape)

    def new_input(self, spec, shape):
        tensor = self.placeholder(spec, shape)
        numbers = self.elements + np.arange(np.prod(shape)).reshape(shape)
        self.flows[tensor.name] = Flow(numbers, np.ones(shape), np.zeros(shape))
        self.elements += numbers.size
        return tensor

    def record(self, layer, call, *args, **kwargs):
        """Record the tensors that a layer is called with."""
        tensors = keras.tree.flatten((args, kwargs))
        names = [x.name for x in tensors if isinstance(x, tf.Tensor)]
        self.calls.append((layer, names))
        return call(*args, **kwargs)

    def through(self, model, tensors):
        """Trace the nodes of a Functional model that get input values."""
        known = {
            id(reference): tensor
            for reference, tensor in zip(model.inputs, tensors, strict=True)
        }
        for depth in sorted(model._nodes_by_depth, reverse=True):
            for node in model._nodes_by_depth[depth]:
                followed = [
                    id(x) in known and known[id(x)].name in self.flows
                    for x in node.input_tensors
                ]
                if node.is_input or not any(followed):
                    continue
                for tensor in node.input_tensors:
                    if id(tensor) not in known:
                        known[id(tensor)] = self.placeholder(tensor)
                # A layer that cannot be traced limits no input.
                with suppress(Exception):
                    args, kwargs = node.arguments.fill_in(known)
                    results = self.call(node.operation, args, kwargs)
                    for reference, result in zip(
                        node.outputs, results, strict=True
                    ):
                        known[id(reference)] = result
                self.update()
        return [known.get(id(x), None) for x in model.outputs]

    def call(self, operation, args, kwargs):
        """Return the flat outputs of an operation."""
        inner = getattr(operation, "_functional", None) or operation
        if hasattr(inner, "_nodes_by_depth"):
            with self.graph.as_default():
                tensors = inner._standardize_inputs(args[0])
            self.update()
            results = self.through(inner, tensors)
            return [
                self.placeholder(spec) if result is None else result
                for spec, result in zip(inner.outputs, results, strict=True)
            ]
        with self.graph.as_default():
            if "training" in getattr(operation, "_call_context_args", ()):
                kwargs["training"] = False
            return keras.tree.flatten(operation(*args, **kwargs))

    def update(self):
        """Follow the operations that were added since the last time."""
        operations = self.graph.get_operations()
        for op in operations[self.done :]:
            flows = [self.flows.get(tensor.name) for tensor in op.inputs]
            if any(flow is not None for flow in flows):
                for tensor, flow in self.outputs(op, flows):
                    self.flows[tensor.name] = flow
        self.done = len(operations)
        for layer, names in self.calls:
            for position, name in enumerate(names):
                if name in self.flows:
                    self.consume(layer, position, self.flows[name], False)
        self.calls.clear()

    def outputs(self, op, flows) -> Iterator[tuple[Any, Flow]]:
        """Yield the outputs of an operation that hold input values."""
        constants = [
            self.constant(tensor) if flow is None else None
            for tensor, flow in zip(op.inputs, flows, strict=True)
        ]
        found = None
        # An operation whose operands or sizes are not constant is a consumer.
        with suppress(TypeError, ValueError, AttributeError):
            if op.type in MOVES:
                found = _moved(op, flows, constants)
            elif op.type in SCALES:
                found = [_scaled(op, flows, constants)]
        for position, flow in enumerate(flows):
            if flow is not None:
                self.consume(op, position, flow, not found)
        if found:
            yield from zip(op.outputs, found, strict=True)

    def constant(self, tensor):
        """Return the value of a constant of the graph, or `None`."""
        value = tf.get_static_value(tensor)
        if value is None and tensor.op.type == "Placeholder":
            for outer, inner in self.graph.captures:
                if inner is tensor and outer.dtype != tf.resource:
                    return outer.numpy()
        if value is None and tensor.op.type in ("Squeeze", "Reshape"):
            value = self.constant(tensor.op.inputs[0])
            if value is not None:
                value = _same(tensor.op, [value])
        return value


def _moved(op, flows, constants):
    """Return the flow of each output, or `None`."""
    which, move = MOVES[op.type]
    moved = range(len(flows))[which]
    others = [constants[i] for i in range(len(flows)) if i not in moved]
    if not any(flows[i] is not None for i in moved):
        return None

    def results(name, missing):
        arrays = [
            np.full(op.inputs[i].shape, missing)
            if flows[i] is None
            else getattr(flows[i], name)
            for i in moved
        ]
        result = move(op, arrays, *others)
        return result if isinstance(result, list) else [result]

    parts = results("elements", -1), results("scale", 1.0), results("offset", 0)
    return [Flow(*map(np.asarray, part)) for part in zip(*parts, strict=True)]


def _scaled(op, flows, constants):
    """Return the flow of the only output."""
    if len(flows) == 1:
        return flows[0].scaled(*SCALES[op.type](1.0, True))
    first = flows[0] is not None
    flow, other = flows[not first], constants[first]
    if flow is None or other is None:
        raise ValueError("both operands are variable")
    return flow.scaled(*SCALES[op.type](np.asarray(other, "float64"), first))


def _same(op, arrays, *_):
    return np.reshape(arrays[0], op.outputs[0].shape)


def _slice(op, arrays, begin, end, strides):
    names = ("begin", "end", "ellipsis", "new_axis", "shrink_axis")
    masks = {f"{name}_mask": op.get_attr(f"{name}_mask") for name in names}
    return tf.strided_slice(arrays[0], begin, end, strides, **masks).numpy()


def _resize(op, arrays, *_):
    # The channels of the nearest elements are those of any resizing.
    (array,) = arrays
    for axis in (1, 2):
        old, new = array.shape[axis], op.outputs[0].shape[axis]
        array = np.take(array, np.arange(new) * old // new, axis)
    return array


FIRST = slice(0, 1)
# For each operation that moves values, those of its inputs that it moves, and
# how: a function of the operation, these inputs, and the constants.
MOVES: Mapping[str, tuple[slice, Callable]] = {
    **dict.fromkeys(
        ("Identity", "StopGradient", "PreventGradient", "Cast")
        + ("Reshape", "ExpandDims", "Squeeze", "EnsureShape", "Snapshot")
        + ("Floor", "Ceil", "Round", "Rint"),
        (FIRST, _same),
    ),
    **dict.fromkeys(
        ("ResizeBilinear", "ResizeNearestNeighbor", "ResizeBicubic")
        + ("ResizeArea", "ScaleAndTranslate", "MaxPool", "AvgPool"),
        (FIRST, _resize),
    ),
    **dict.fromkeys(
        ("Pad", "PadV2", "MirrorPad"),
        (FIRST, lambda op, x, amounts, *_: np.pad(x[0], amounts, "edge")),
    ),
    "IdentityN": (slice(None), lambda op, x: x),  # of a custom gradient
    "Transpose": (FIRST, lambda op, x, order: np.transpose(x[0], order)),
    "StridedSlice": (FIRST, _slice),
    "Slice": (FIRST, lambda op, x, *at: tf.slice(x[0], *at).numpy()),
    "ConcatV2": (slice(0, -1), lambda op, x, axis: np.concatenate(x, axis)),
    "Pack": (slice(None), lambda op, x: np.stack(x, op.get_attr("axis"))),
    "Unpack": (
        FIRST,
        lambda op, x: list(np.moveaxis(x[0], op.get_attr("axis"), 0)),
    ),
    "Split": (
        slice(1, 2),
        lambda op, x, axis: np.split(x[0], len(op.outputs), axis),
    ),
    "GatherV2": (FIRST, lambda op, x, which, axis: np.take(x[0], which, axis)),
    "Tile": (FIRST, lambda op, x, times: np.tile(x[0], times)),
    "BroadcastTo": (FIRST, lambda op, x, shape: np.broadcast_to(x[0], shape)),
    "ReverseV2": (FIRST, lambda op, x, axes: np.flip(x[0], axes)),
    "SelectV2": (  # the branch that is not computed from the other one
        slice(1, 3),
        lambda op, x, _: np.broadcast_to(x[-1], op.outputs[0].shape),
    ),
}


def _quotient(value, first):
    if not first:
        raise ValueError("the input is a divisor")
    return 1 / value, 0.0


# For each operation, the scale and the offset, given the constant operand and
# whether the first operand is the other one.
SCALES: Mapping[str, Callable] = {
    **dict.fromkeys(
        ("Add", "AddV2", "BiasAdd"), lambda value, first: (1.0, value)
    ),
    "Sub": lambda value, first: (1.0, -value) if first else (-1.0, value),
    "Mul": lambda value, first: (value, 0.0),
    **dict.fromkeys(("RealDiv", "FloorDiv", "DivNoNan"), _quotient),
    "Neg": lambda value, first: (-value, 0.0),
}
