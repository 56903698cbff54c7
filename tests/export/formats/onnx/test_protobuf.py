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
