import io

import onnx
import pytest

from keras_inception_export.formats.onnx.protobuf import fields, key, message


def read(content):
    return [
        (number, content[start : start + length])
        for number, start, length in fields(io.BytesIO(content), len(content))
    ]


@pytest.mark.parametrize("length", [0, 1, 127, 128, 300, 2**14, 2**21])
def test_a_field_is_encoded_as_protobuf_encodes_it(length):
    content = b"x" * length
    tensor = onnx.TensorProto(raw_data=content)
    number = onnx.TensorProto.RAW_DATA_FIELD_NUMBER
    assert message(number, content) == tensor.SerializeToString()
    assert key(number, length) + content == message(number, content)
    assert read(message(number, content)) == [(number, content)]


def test_numbers_of_every_wire_type_are_skipped():
    attribute = onnx.AttributeProto(
        name="alpha", f=0.5, i=2**40, s=b"text", type="FLOAT"
    )
    assert read(attribute.SerializeToString()) == [(1, b"alpha"), (4, b"text")]
    double = bytes([2 << 3 | 1]) + bytes(8)
    assert read(double + message(4, b"text")) == [(4, b"text")]


def test_the_caller_may_seek_between_fields():
    content = message(1, b"first") + message(2**10, b"second")
    file = io.BytesIO(content)
    found = []
    for number, start, length in fields(file, len(content)):
        file.seek(start)
        found.append((number, file.read(length)))
    assert found == [(1, b"first"), (2**10, b"second")]


def test_appended_fields_are_merged():
    model = onnx.ModelProto(graph=onnx.GraphProto(name="main"))
    output = message(onnx.GraphProto.OUTPUT_FIELD_NUMBER, message(1, b"y"))
    appended = message(onnx.ModelProto.GRAPH_FIELD_NUMBER, output)
    merged = onnx.ModelProto.FromString(model.SerializeToString() + appended)
    assert merged.graph.name == "main"
    assert [value.name for value in merged.graph.output] == ["y"]
