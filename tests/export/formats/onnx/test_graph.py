import numpy as np
import onnx
import pytest

from keras_inception_export.formats.onnx.graph import (
    SMALL,
    Constant,
    Graph,
    attribute_of,
    axis_lengths,
    depth_first,
    evaluate,
    read_values,
    rename_reads,
)
from tests.helpers.onnx_graphs import (
    apply_pass,
    onnx_graph,
    random_array,
    run_graph,
)

WITH_BODY = """(float[N,3] x, bool c) => (float[N,3] y) {
    a = Relu(x)
    unused = Neg(a)
    y = If(c) <
        then_branch = t () => (float[N,3] p) { b = Neg(x) p = Add(b, k) },
        else_branch = e () => (float[N,3] q) { q = Exp(a) }
    >
}"""


@pytest.fixture
def graph():
    return onnx_graph(WITH_BODY, k=random_array(3), spare=random_array(3))


@pytest.mark.parametrize(
    "nodes",
    [
        "b = Neg(x) a = Relu(x) c = Neg(b) y = Add(a, c) z = Abs(b)",
        "a = Relu(x) b = Neg(x) z = Abs(b) c = Neg(b) y = Add(a, c)",
        "b = Neg(x) u = Exp(b) z = Abs(b) c = Neg(b) a = Relu(x) y = Add(a, c)",
    ],
)
def test_the_order_does_not_depend_on_the_order_before(nodes):
    graph = onnx_graph(
        f"(float[N,3] x) => (float[N,3] y, float[N,3] z) {{ {nodes} }}"
    )
    apply_pass(Graph.sort, graph, x=random_array(2, 3))
    assert [node.name for node in graph.nodes] == ["a", "b", "c", "y", "z"]


def test_what_a_body_reads_is_kept_and_precedes_it():
    graph = onnx_graph(
        """(float[N,4] x, bool c) => (float[N,2] y) {
            a, unread = Split<axis=1,num_outputs=2>(x)
            b = Neg(a)
            n = Exp(unread)
            y = If(c) <
                then_branch = t () => (float[N,2] p) { p = Add(b, k) },
                else_branch = e () => (float[N,2] q) { q = Exp(a) }
            >
        }""",
        k=random_array(2),
        spare=random_array(2),
    )
    feeds = {"x": random_array(2, 4), "c": np.array(True)}
    apply_pass(Graph.sort, graph, **feeds)
    assert [node.name for node in graph.nodes] == ["a", "b", "y"]
    assert list(graph.constants) == ["k"]


def test_a_long_chain_needs_no_recursion():
    nodes = [
        onnx.helper.make_node("Neg", [f"v{i}"], [f"v{i + 1}"])
        for i in range(3000)
    ]
    assert depth_first(nodes[::-1], ["v3000"]) == nodes


def test_a_value_is_used_by_nodes_bodies_and_outputs(graph):
    uses = graph.uses()
    assert (uses["x"], uses["a"], uses["y"], uses["unused"]) == (2, 2, 1, 0)
    assert list(read_values(graph.nodes[-1])) == ["c", "x", "b", "k", "a"]


def test_reads_are_renamed_in_bodies(graph):
    rename_reads(graph.nodes[-1], {"a": "new", "c": "d", "y": "z"})
    assert list(read_values(graph.nodes[-1])) == ["d", "x", "b", "k", "new"]
    assert graph.nodes[-1].output == ["y"]


def test_a_copy_can_be_rewritten(graph):
    copy = graph.copy()
    assert copy.constants["k"] is graph.constants["k"]
    copy.nodes[0].op_type = "Exp"
    copy.outputs[0].name = "z"
    copy.metadata["key"] = "value"
    copy.sort()
    assert graph.nodes[0].op_type == "Relu" and len(graph.nodes) == 3
    assert graph.outputs[0].name == "y" and not graph.metadata
    assert list(graph.constants) == ["k", "spare"]


def test_added_constants_get_new_names(graph):
    graph.constants["constant__3"] = graph.constants["k"]
    names = [graph.add_constant(np.array(number)) for number in range(2)]
    assert names == ["constant__3_", "constant__4"]
    assert [graph.value(name) for name in names] == [0, 1]


@pytest.mark.parametrize("size, kept", [(SMALL, True), (SMALL + 1, False)])
def test_only_small_constants_are_kept_as_values(size, kept):
    loads = []

    def load():
        loads.append(None)
        return np.zeros(size, np.float16)

    constant = Constant.of(load, "dense/bias")
    graph = Graph(18, [], {"a": constant}, [], [])
    assert (graph.value("a") is not None) == kept
    constant.load()
    assert len(loads) == (1 if kept else 2)
    assert (constant.shape, constant.nbytes) == ((size,), 2 * size)
    assert constant.weight == "dense/bias"


def test_large_constants_are_inputs_of_the_model_unless_held():
    graph = onnx_graph(
        "(float[N,40] x) => (float[N,40] y) { m = MatMul(x, k) y = Add(m, b) }",
        k=random_array(40, 40),
        b=random_array(40),
    )
    graph.metadata["key"] = "value"
    model = graph.model(held=())
    assert [x.name for x in model.graph.input] == ["x", "k"]
    assert [x.name for x in model.graph.initializer] == ["b"]
    model = graph.model(held={"k"})
    assert [x.name for x in model.graph.initializer] == ["k", "b"]
    assert model.metadata_props[0].value == "value"
    x = random_array(3, 40)
    k, b = (graph.constants[name].load() for name in "kb")
    (y,) = run_graph(graph, x=x)
    np.testing.assert_allclose(y, x @ k + b, rtol=1e-5, atol=1e-5)


def test_types_are_inferred_through_small_constants():
    graph = onnx_graph(
        """(float[N,6] x) => (float[N,A,B] y) {
            r = Reshape(x, to) n = Neg(r) e = NonZero(n) y = Relu(n)
        }""",
        to=np.array([-1, 2, 3], np.int64),
    )
    types = graph.inferred_types()
    assert axis_lengths(types["x"]) == ["N", 6]
    assert axis_lengths(types["n"])[1:] == [2, 3]
    assert axis_lengths(types["e"])[0] == 3
    assert axis_lengths(types.get("missing")) is None
    assert axis_lengths(onnx.TypeProto.Tensor()) is None


def test_an_axis_without_length_and_symbol_is_empty():
    value = onnx.helper.make_tensor_value_info("x", 1, [None, 0, "N"])
    assert axis_lengths(value.type.tensor_type) == ["", 0, "N"]


def test_a_node_is_evaluated_with_its_optional_inputs():
    node = onnx.helper.make_node("Clip", ["x", "", "high"], ["y"])
    inputs = [
        Constant.of(lambda: random_array(9)),
        Constant.of(lambda: np.float32(0)),
    ]
    (result,) = evaluate(node, 18, inputs)
    np.testing.assert_array_equal(result, np.minimum(random_array(9), 0))


def test_attributes_have_defaults():
    node = onnx.helper.make_node("Conv", ["x", "k"], ["y"], group=3)
    assert attribute_of(node, "group", 1) == 3
    assert attribute_of(node, "strides", (1, 1)) == (1, 1)
