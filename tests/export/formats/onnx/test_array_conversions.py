"""Slices, padding and resizing, which tf2onnx alone gets wrong."""

import contextlib

import pytest
from keras import ops
from onnxruntime.capi.onnxruntime_pybind11_state import (
    Fail,
    InvalidGraph,
    RuntimeException,
)

from keras_inception_export.errors import ExportError
from keras_inception_export.formats.onnx import tracing
from keras_inception_export.formats.onnx.conversions import CONVERSIONS
from tests.helpers.onnx_conversions import above, errors, integer, real

REALS = [[-1e4, -100.5, -2.5, -1.0, -0.0, 0.0, 0.5, 1e-6, 3, 88.5, 100, 1e4]]
INTEGERS = [[-210, -61, -60, -1, 0, 1, 7, 59, 60, 2**20, 2**20 - 1, -9]]
BYTES = [[0, 1, 2, 3, 120, 130, 200, 253, 254, 255, 99, 9]]
BORDER = [[0, 0], [1, 2]]


def bytes_of(*shape):
    return integer(*shape, dtype="uint8")


# Input, function of it, and values of the input.
CASES = {
    "PadV2": (
        bytes_of(),
        lambda x: ops.pad(x, BORDER, constant_values=3),
        BYTES,
    ),
    "PadV2/bool": (
        real(),
        lambda x: ops.pad(x > 0, BORDER, constant_values=True),
        REALS,
    ),
    "ResizeBilinear": (
        integer(3, 4, 1),
        lambda x: ops.image.resize(x, (6, 8)),
        INTEGERS,
    ),
    "ResizeBilinear/uint8": (
        bytes_of(3, 4, 1),
        lambda x: ops.image.resize(x, (6, 8)),
        BYTES,
    ),
    "ResizeBilinear/scale": (
        real(3, 4, 1),
        lambda x: ops.image.resize(x, (5, 7)),
        REALS,
    ),
    "ResizeNearestNeighbor": (
        real(3, 4, 1),
        lambda x: ops.image.resize(x, (5, 7), interpolation="nearest"),
        REALS,
    ),
    "StridedSlice": (real(2, 6), lambda x: x[:, ::-1, ..., None, -1], REALS),
    "StridedSlice/backward": (
        real(3, 4),
        lambda x: x[:, -1:-9:-2, ..., 3:0:-1],
        REALS,
    ),
    "StridedSlice/new": (
        real(2, 6),
        lambda x: x[:, 0:1, -1:9:1, None, ...],
        REALS,
    ),
    "StridedSlice/unknown": (
        real(None),
        lambda x: x[:, ..., -9:4, None],
        REALS,
    ),
}


@pytest.mark.parametrize("opset", [13, 18])
def test_conversions_compute_what_keras_computes(opset, tmp_path):
    # The largest error measured was 8 units.
    assert above(50, errors(CASES, tmp_path, opset)) == {}


@pytest.mark.parametrize("name", CASES)
def test_tf2onnx_alone_is_wrong_or_fails(name, tmp_path, monkeypatch):
    alone = dict(CONVERSIONS)
    del alone[name.partition("/")[0]]
    monkeypatch.setattr(tracing, "CONVERSIONS", alone)
    failures = ExportError, Fail, InvalidGraph, RuntimeException
    with contextlib.suppress(*failures):
        assert above(50, errors({name: CASES[name]}, tmp_path)) == {name}
