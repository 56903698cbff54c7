"""An ONNX graph whose constants are loaded only when they are written."""

import math
from collections import Counter
from collections.abc import Callable, Container, Iterator
from copy import deepcopy
from dataclasses import dataclass, field, replace

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

SMALL = 1024
"""Constants of at most this many elements are held as values: shapes, axes
and scalars, which the inference of shapes must see."""


@dataclass(frozen=True)
class Constant:
    """A tensor with a fixed value.

    Args:
        shape: its shape.
        dtype: its numpy type.
        load: returns the value; where possible a view of the memory of the
            Keras variable, never kept.
        weight: the path of the Keras variable that it is computed from; None
            for any other constant.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    load: Callable[[], np.ndarray]
    weight: str | None = None

    @classmethod
    def of(cls, load: Callable[[], np.ndarray], weight: str | None = None):
        """Make a constant of what `load` returns, and keep it if small."""
        value = load()
        if value.size <= SMALL:
            held = np.array(value)
            return cls(held.shape, held.dtype, lambda: held, weight)
        return cls(value.shape, value.dtype, load, weight)

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """The number of bytes of its elements."""
        return self.size * self.dtype.itemsize


@dataclass
class Graph:
    """Nodes in topological order, and what they compute with.

    Args:
        opset: the version of the ONNX operators.
        nodes: the nodes.
        constants: by value name.
        inputs: names and types of the inputs, in order.
        outputs: names and types of the outputs, in order.
        layers: the path of the Keras layer that made a node, by node name.
        metadata: what the file says about itself, by key.
    """

    opset: int
    nodes: list[onnx.NodeProto]
    constants: dict[str, Constant]
    inputs: list[onnx.ValueInfoProto]
    outputs: list[onnx.ValueInfoProto]
    layers: dict[str, str] = field(default_factory=dict)
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
        """Return a small constant's value; None for any other value."""
        constant = self.constants.get(name)
        if constant is None or constant.size > SMALL:
            return None
        return constant.load()

    def add_constant(self, constant: Constant) -> str:
        """Add a constant; return the name that it got."""
        name = f"constant__{len(self.constants)}"
        while name in self.constants:
            name += "_"
        self.constants[name] = constant
        return name

    def add_value(self, value: np.ndarray) -> str:
        """Add a small constant; return the name that it got."""
        return self.add_constant(Constant.of(lambda: value))

    def prune(self) -> None:
        """Drop nodes and constants that no output depends on."""
        needed = {value.name for value in self.outputs}
        kept = []
        for node in reversed(self.nodes):
            if needed.intersection(node.output):
                needed.update(read_values(node))
                kept.append(node)
        self.nodes = kept[::-1]
        self.constants = {
            name: constant
            for name, constant in self.constants.items()
            if name in needed
        }

    def copy(self) -> "Graph":
        """Return a graph to rewrite; constants are shared."""
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
        graph = onnx.GraphProto(
            name="main",
            node=self.nodes,
            input=self.inputs,
            output=self.outputs,
        )
        model = onnx.ModelProto(
            ir_version=onnx.helper.find_min_ir_version_for(
                [onnx.helper.make_opsetid("", self.opset)]
            ),
            producer_name="keras-inception-layers",
            opset_import=[onnx.helper.make_opsetid("", self.opset)],
            graph=graph,
        )
        for key, value in self.metadata.items():
            model.metadata_props.add(key=key, value=value)
        return model

    def model(self, held: Container[str]) -> onnx.ModelProto:
        """Return the model with the values of the small and `held` constants.

        The others stand among its inputs, by type and shape alone.
        """
        model = self.header()
        for name, constant in self.constants.items():
            if constant.size <= SMALL or name in held:
                model.graph.initializer.append(
                    onnx.numpy_helper.from_array(constant.load(), name)
                )
            else:
                kind = onnx.helper.np_dtype_to_tensor_dtype(constant.dtype)
                model.graph.input.append(
                    onnx.helper.make_tensor_value_info(
                        name, kind, constant.shape
                    )
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


def evaluate(
    node: onnx.NodeProto, opset: int, constants: list[Constant]
) -> list[np.ndarray]:
    """Compute a node's outputs from constants."""
    names = [name for name in node.input if name]
    single = ReferenceEvaluator(
        onnx.helper.make_model(
            onnx.helper.make_graph(
                [node],
                "node",
                [onnx.helper.make_empty_tensor_value_info(n) for n in names],
                [
                    onnx.helper.make_empty_tensor_value_info(name)
                    for name in node.output
                ],
            ),
            opset_imports=[onnx.helper.make_opsetid("", opset)],
        )
    )
    feeds = {
        name: constant.load()
        for name, constant in zip(names, constants, strict=True)
    }
    return [np.asarray(output) for output in single.run(None, feeds)]


def read_values(node: onnx.NodeProto) -> Iterator[str]:
    """Yield the values a node reads, by its bodies too."""
    yield from (name for name in node.input if name)
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            for inner in attribute.g.node:
                yield from read_values(inner)


def rename_reads(node: onnx.NodeProto, renamed: dict[str, str]) -> None:
    """Rename the values that a node reads, by its bodies too."""
    for index, name in enumerate(node.input):
        node.input[index] = renamed.get(name, name)
    for attribute in node.attribute:
        if attribute.HasField("g"):
            for inner in attribute.g.node:
                rename_reads(inner, renamed)


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
