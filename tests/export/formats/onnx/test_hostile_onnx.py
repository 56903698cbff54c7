"""No ONNX file from outside crashes or fools the program."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from keras_inception_export.bundle.artifact import load_artifact
from keras_inception_export.errors import ArtifactError


def graph(path, nodes, kind=TensorProto.FLOAT, shape=("n", 2), **metadata):
    value = helper.make_tensor_value_info
    outputs = [value("y", kind, None)]
    made = helper.make_graph(
        nodes, "g", [value("x", TensorProto.FLOAT, shape)], outputs
    )
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(made, opset_imports=opset, ir_version=8)
    helper.set_model_props(model, metadata)
    onnx.save(model, path)


IDENTITY = [helper.make_node("Identity", ["x"], ["y"])]
SUM = [helper.make_node("ReduceSum", ["x"], ["y"], keepdims=0)]
STRING = [helper.make_node("Cast", ["x"], ["y"], to=TensorProto.STRING)]
RESHAPE = [
    helper.make_node("Constant", [], ["s"], value_ints=[7, 7]),
    helper.make_node("Reshape", ["x", "s"], ["y"]),
]
GRAPHS = {
    "metadata": ({"nodes": IDENTITY, "quantization": "[" * 9999}, "opened"),
    "list": ({"nodes": IDENTITY, "quantization": "[1]"}, "cannot be opened"),
    "scale": (
        {"nodes": IDENTITY, "quantization": '{"x": {"scale": "1"}}'},
        "cannot be opened",
    ),
    "string": ({"nodes": STRING, "kind": TensorProto.STRING}, "cannot be open"),
    "scalar": ({"nodes": IDENTITY, "shape": ()}, "without a batch axis"),
    "no samples": ({"nodes": IDENTITY, "shape": (0, 2)}, "or of size 0"),
    "batch": ({"nodes": IDENTITY, "shape": (2**40, 2)}, "more than 4 GB"),
    "rows": ({"nodes": SUM}, r'output "y" of 3 samples has the shape \(\)'),
    "failure": ({"nodes": RESHAPE}, "cannot be run: "),
}


@pytest.mark.parametrize("case", GRAPHS)
def test_a_hostile_onnx_file_is_one_line(case, tmp_path):
    options, message = GRAPHS[case]
    graph(tmp_path / "a.onnx", **options)
    with pytest.raises(ArtifactError, match=message) as caught:
        load_artifact(tmp_path / "a.onnx")(np.ones((3, 2), "float32"))
    assert "\n" not in str(caught.value)
    graph(tmp_path / "a.onnx", IDENTITY)
    run = load_artifact(tmp_path / "a.onnx")
    assert run(np.ones((3, 2), "float32"))["y"].shape == (3, 2)
