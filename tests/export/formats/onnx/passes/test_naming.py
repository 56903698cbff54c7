import numpy as np
import pytest

from keras_inception_export.formats.onnx.passes.naming import assign_names
from tests.helpers.onnx_graphs import apply_pass, onnx_graph, random_array

WEIGHTS = {"k": "conv/kernel", "b": "conv/bias", "d": "head/dense/kernel"}


def network():
    graph = onnx_graph(
        """(float[N,3,6,6] x) => (float[N,5] s) {
            c = Conv(x, k, b)
            r = Relu(c)
            n = Neg(r)
            f = Reshape(n, to)
            g = Reshape(f, to)
            s = MatMul(g, d)
        }""",
        weights=WEIGHTS,
        k=random_array(4, 3, 3, 3),
        b=random_array(4),
        d=random_array(64, 5),
        to=np.array([-1, 64], np.int64),
    )
    graph.layers = {"n": "negative", "c": "conv/called"}
    return graph


def test_nodes_are_named_after_layers_and_constants_after_weights():
    graph = network()

    def rename(graph):
        assign_names(graph, ["x"], ["s"])

    apply_pass(rename, graph, x=random_array(2, 3, 6, 6))
    assert [node.name for node in graph.nodes] == [
        "conv/Conv",
        "conv/Relu",
        "negative/Neg",
        "negative/Reshape",
        "negative/Reshape_1",
        "head/dense/MatMul",
    ]
    assert [node.output[0] for node in graph.nodes[:-1]] == [
        node.name for node in graph.nodes[:-1]
    ]
    assert list(graph.constants) == [
        "conv/kernel",
        "conv/bias",
        "negative/Reshape/shape",
        "head/dense/kernel",
    ]


def test_inputs_and_outputs_get_the_given_names():
    graph = network()
    assign_names(graph, ["image"], ["conv/Conv"])
    assert [value.name for value in graph.inputs] == ["image"]
    assert graph.nodes[0].input[0] == "image"
    assert graph.nodes[-1].output[0] == "conv/Conv"
    # The output's name is in use, so the convolution's value is numbered.
    assert graph.nodes[0].output[0] == "conv/Conv_1"


def test_a_number_of_names_that_does_not_match_is_refused():
    with pytest.raises(ValueError, match="zip"):
        assign_names(network(), ["image"], [])


def test_operands_and_further_outputs_are_numbered():
    graph = onnx_graph(
        """(float[N,4] x) => (float[N,4] y) {
            low, high = Split<axis=1,num_outputs=2>(x)
            y = Concat<axis=1>(high, low, c)
        }""",
        c=random_array(2, 0),
    )
    assign_names(graph, ["x"], ["y"])
    assert list(graph.nodes[0].output) == ["Split", "Split:1"]
    assert list(graph.constants) == ["Concat/inputs_2"]


def test_attributes_are_sorted_and_their_tensors_have_no_name():
    graph = onnx_graph(
        """(float[N,3,6,6] x) => (float[N,4,4,4] y) {
            k = ConstantOfShape<value=float[1] numbered {2.0}>(shape)
            y = Conv<strides=[1,1],pads=[0,0,0,0]>(x, k)
        }""",
        shape=np.array([4, 3, 3, 3]),
    )
    assign_names(graph, ["x"], ["y"])
    assert graph.nodes[0].attribute[0].t.name == ""
    names = [attribute.name for attribute in graph.nodes[1].attribute]
    assert names == ["pads", "strides"]


LOOP = """(float[N] {x}, int64 m, bool t) => (float[N] {y}) {{
    {y} = Loop({m}, {t}, {x}) <body = {g} (int64 {i}, bool {c}, float[{s}] {a})
        => (bool {d}, float[{s}] {b}) {{
            {u} = Exp({a})
            {d} = Identity({c})
            {e} = Relu({a})
            {b} = Add({e}, {x})
    }}>
}}"""


def test_names_and_symbols_in_bodies_do_not_depend_on_the_names_before():
    models = []
    for prefix in ("first", "x"):
        names = {key: f"{prefix}_{key}" for key in "xygicasdube"}
        graph = onnx_graph(LOOP.format(**names, m="m", t="t"))
        feeds = {
            names["x"]: random_array(3),
            "m": np.array(2),
            "t": np.array(True),
        }
        values = [graph.inputs[0].name, "m", "t"], [graph.outputs[0].name]
        apply_pass(
            lambda graph, v=values: assign_names(graph, *v), graph, **feeds
        )
        assign_names(graph, ["x", "m", "t"], ["y"])
        models.append(graph.header().SerializeToString(deterministic=True))
    assert models[0] == models[1]
    body = graph.nodes[0].attribute[0].g
    assert body.name == "Loop/body"
    assert [value.name for value in body.input] == [
        "Loop/body/input",
        "Loop/body/input_1",
        "Loop/body/input_2",
    ]
    assert [node.name for node in body.node] == [
        "Loop/body/Identity",
        "Loop/body/Relu",
        "Loop/body/Add",
    ]
    assert body.node[-1].input[1] == "x"


BRANCHES = """(float[3] x, bool c) => (float[3] y) {
    r = If(c) <
        then_branch = t () => (float[3] p) <
            float[1] u = {0.0},
            float[3] s = {1.0, 2.0, 3.0},
            float[3] a = {4.0, 5.0, 6.0}
        > { b = Mul(s, x) m = Sub(b, a) p = Add(m, k) },
        else_branch = e () => (float[3] p) {
            b, "" = Dropout(x) m = Clip(b, "", high) p = Neg(m)
        }
    >
    b = Mul(r, k)
    y = Neg(b)
}"""


@pytest.mark.parametrize("condition", [True, False])
def test_bodies_with_the_same_names_are_renamed_apart(condition):
    graph = onnx_graph(BRANCHES, k=random_array(3), high=np.float32(0))
    for item in graph.nodes[0].attribute:
        item.g.node[0].doc_string = item.g.doc_string = "/some/path.py"

    def rename(graph):
        assign_names(graph, ["x", "c"], ["y"])

    apply_pass(rename, graph, x=random_array(3), c=np.array(condition))
    other, then = (item.g for item in graph.nodes[0].attribute)
    assert [node.output[0] for node in (*then.node, *other.node)] == [
        "If/then_branch/Mul",
        "If/then_branch/Sub",
        "If/then_branch/Add",
        "If/else_branch/Dropout",
        "If/else_branch/Clip",
        "If/else_branch/Neg",
    ]
    assert other.node[0].output[1] == other.node[1].input[1] == ""
    assert [tensor.name for tensor in then.initializer] == [
        "If/then_branch/Mul/A",
        "If/then_branch/Sub/B",
        "If/then_branch/unread",
    ]
    # A constant gets the name of the node that reads it first.
    assert [then.node[2].input[1], graph.nodes[1].input[1]] == [
        "If/then_branch/Add/B",
        "If/then_branch/Add/B",
    ]
    assert graph.nodes[1].output == ["Mul"]
    assert "/some/path" not in str(graph.header())
