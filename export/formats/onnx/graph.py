"""An ONNX graph whose constants are loaded only when they are written.

`Graph` is what the passes rewrite; the functions below it read and change
single nodes. Nothing here imports a framework.
"""

import math
from collections import Counter
from collections.abc import Callable, Container, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import onnx
from onnx import helper
from onnx.reference import ReferenceEvaluator

SMALL = 1024
"""Constants of at most this many elements are kept as values: shapes, axes
and scalars, which shape inference has to read."""


@dataclass(frozen=True)
class Constant:
    """A tensor with a fixed value.

    Args:
        load: returns the value, where possible a view of the memory of the
            Keras variable; callers do not keep it.
        weight: path of the Keras variable that it is computed from, if any.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    load: Callable[[], np.ndarray]
    weight: str | None = None

    @classmethod
    def of(
        cls, load: Callable[[], np.ndarray], weight: str | None = None
    ) -> "Constant":
        """Return a constant with the value of `load()`, kept if small."""
        value = load()
        if value.size <= SMALL:
            kept = np.array(value)
            return cls(kept.shape, kept.dtype, lambda: kept, weight)
        return cls(value.shape, value.dtype, load, weight)

    def derived(
        self,
        function: Callable[[np.ndarray], np.ndarray],
        shape: tuple[int, ...] | None = None,
        dtype: Any = None,
    ) -> "Constant":
        """Return what a function computes from the value when it is loaded.

        The result has the same shape and dtype unless others are given.
        """
        return replace(
            self,
            shape=self.shape if shape is None else shape,
            dtype=np.dtype(dtype or self.dtype),
            load=lambda: function(self.load()),
        )

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """The size of the elements in bytes."""
        return self.size * self.dtype.itemsize


@dataclass
class Graph:
    """Nodes in topological order, with their constants by value name.

    Args:
        layers: path of the Keras layer that made a node, by node name.
        nested_names: the names of layers in messages, by path.
        metadata: the metadata of the file, by key.
    """

    opset: int
    nodes: list[onnx.NodeProto]
    constants: dict[str, Constant]
    inputs: list[onnx.ValueInfoProto]
    outputs: list[onnx.ValueInfoProto]
    layers: dict[str, str] = field(default_factory=dict)
    nested_names: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)

    def producers(self) -> dict[str, onnx.NodeProto]:
        """Return the node that computes each value."""
        return {name: node for node in self.nodes for name in node.output}

    def uses(self) -> Counter[str]:
        """Return how often each value is read, graph outputs included."""
        counts = Counter(value.name for value in self.outputs)
        for node in self.nodes:
            counts.update(read_values(node))
        return counts

    def value(self, name: str) -> np.ndarray | None:
        """Return the value of a small constant; `None` for anything else."""
        constant = self.constants.get(name)
        if constant is None or constant.size > SMALL:
            return None
        return constant.load()

    def add_constant(self, value: Constant | np.ndarray, name: str = "") -> str:
        """Add a constant and return its name, by default a new one."""
        if not name:
            name = f"constant__{len(self.constants)}"
            while name in self.constants:
                name += "_"
        if not isinstance(value, Constant):
            value = Constant.of(partial(np.asarray, value))
        self.constants[name] = value
        return name

    def add_node(
        self,
        operator: str,
        inputs: Sequence[str],
        output: str,
        name: str = "",
        **attributes: Any,
    ) -> str:
        """Append a node with one output, and return the output's name.

        The node is named `<output>/<operator>` by default.
        """
        name = name or f"{output}/{operator}"
        node = helper.make_node(operator, inputs, [output], name, **attributes)
        self.nodes.append(node)
        return output

    def rename_values(self, names: dict[str, str]) -> None:
        """Rename values wherever nodes read or compute them."""
        for node in self.nodes:
            rename_reads(node, names)
            node.output[:] = [names.get(name, name) for name in node.output]

    def sort(self) -> None:
        """Sort the nodes depth-first, so in an order that is not tf2onnx's.

        Nodes and constants that no output depends on are removed.
        """
        names = [value.name for value in self.outputs]
        self.nodes = depth_first(self.nodes, names)
        used = self.uses()
        self.constants = {x: y for x, y in self.constants.items() if x in used}

    def copy(self) -> "Graph":
        """Return a copy that can be rewritten; it shares the constants."""
        return replace(
            self,
            nodes=deepcopy(self.nodes),
            constants=dict(self.constants),
            inputs=deepcopy(self.inputs),
            outputs=deepcopy(self.outputs),
            metadata=dict(self.metadata),
        )

    def header(self) -> onnx.ModelProto:
        """Return the model without its constants."""
        opsets = [helper.make_opsetid("", self.opset)]
        model = onnx.ModelProto(
            ir_version=helper.find_min_ir_version_for(opsets),
            producer_name="keras-inception-layers",
            opset_import=opsets,
            graph=onnx.GraphProto(
                name="main",
                node=self.nodes,
                input=self.inputs,
                output=self.outputs,
            ),
        )
        helper.set_model_props(model, self.metadata)
        return model

    def model(self, held: Container[str]) -> onnx.ModelProto:
        """Return the model with the values of small and `held` constants.

        The other constants become inputs, which have a type and a shape only.
        """
        model = self.header()
        for name, constant in self.constants.items():
            if constant.size <= SMALL or name in held:
                tensor = onnx.numpy_helper.from_array(constant.load(), name)
                model.graph.initializer.append(tensor)
            else:
                kind = helper.np_dtype_to_tensor_dtype(constant.dtype)
                model.graph.input.append(
                    helper.make_tensor_value_info(name, kind, constant.shape)
                )
        return model

    def inferred_types(self) -> dict[str, onnx.TypeProto.Tensor]:
        """Return the element type and shape of each value, where known."""
        graph = onnx.shape_inference.infer_shapes(
            self.model(held=()), data_prop=True
        ).graph
        return {
            value.name: value.type.tensor_type
            for value in [*graph.input, *graph.value_info, *graph.output]
        }


def depth_first(
    nodes: Sequence[onnx.NodeProto], outputs: list[str]
) -> list[onnx.NodeProto]:
    """Return the nodes that outputs depend on, each after those it reads."""
    producers = {name: node for node in nodes for name in node.output if name}
    visited: set[str] = set()
    ordered = []
    stack: list[tuple[onnx.NodeProto, Iterator[str]]] = []

    def visit(name: str) -> None:
        node = producers.get(name)
        if node is not None and name not in visited:
            visited.update(node.output)
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


def evaluate(
    node: onnx.NodeProto, opset: int, constants: list[Constant]
) -> list[np.ndarray]:
    """Return what a node computes from the values of its inputs."""
    names = [name for name in node.input if name]
    graph = onnx.GraphProto(
        node=[node],
        input=[onnx.ValueInfoProto(name=name) for name in names],
        output=[onnx.ValueInfoProto(name=name) for name in node.output],
    )
    values = [constant.load() for constant in constants]
    evaluator = ReferenceEvaluator(graph, opsets={"": opset})
    outputs = evaluator.run(None, dict(zip(names, values, strict=True)))
    return [np.asarray(output) for output in outputs]


def bodies(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    """Return the graphs inside a node, such as the branches of an If."""
    return [item.g for item in node.attribute if item.HasField("g")]


def read_values(node: onnx.NodeProto) -> Iterator[str]:
    """Yield the names of the values that a node and its bodies read."""
    yield from filter(None, node.input)
    for body in bodies(node):
        for inner in body.node:
            yield from read_values(inner)


def rename_reads(node: onnx.NodeProto, renamed: dict[str, str]) -> None:
    """Rename the values that a node and its bodies read."""
    node.input[:] = [renamed.get(name, name) for name in node.input]
    for body in bodies(node):
        for inner in body.node:
            rename_reads(inner, renamed)


def attribute_of(node: onnx.NodeProto, name: str, default: Any) -> Any:
    """Return the value of a node's attribute, or `default` if it is unset."""
    found = (x for x in node.attribute if x.name == name)
    attribute = next(found, None)
    return helper.get_attribute_value(attribute) if attribute else default


def axis_lengths(kind: onnx.TypeProto.Tensor | None) -> list[int | str] | None:
    """Return the length or the symbol of each axis; `""` if it has neither.

    The result is `None` if the rank is unknown.
    """
    if kind is None or not kind.HasField("shape"):
        return None
    return [
        axis.dim_value if axis.HasField("dim_value") else axis.dim_param
        for axis in kind.shape.dim
    ]
