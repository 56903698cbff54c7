"""Conversions of linear operations.

For most of them TensorFlow itself computes a matrix, from the unit vectors.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from onnx import TensorProto

from keras_inception_export.formats.onnx.conversions.integers import is_size
from keras_inception_export.formats.onnx.conversions.rewriting import Formula


def resize(graph: Any, node: Any) -> None:
    """Resize rows and columns from known sizes, with one matrix each.

    Resize of ONNX has other coefficients, and neither Lanczos nor antialiasing.
    A node with unknown sizes is reported as not converted.
    """
    sizes = graph.get_shape(node.input[0])[1:3]
    target, *others = node.inputs[1:]
    if min(sizes) < 0 or not target.is_const():
        return
    settings = [target.get_tensor_value(as_list=False)]
    for other in others:
        if other.is_const():
            settings.append(other.get_tensor_value(as_list=False))
        elif is_size(other):  # the scale, computed from the shape
            settings.append(np.divide(settings[0], sizes, dtype=np.float32))
        else:
            return
    new = Formula(graph, node)
    by_rows, by_columns = (
        _resizing_matrix(node, axis, size, settings)
        for axis, size in enumerate(sizes)
    )
    x = new(
        "Transpose",
        new.cast(new.inputs[0], TensorProto.FLOAT),
        perm=[0, 3, 1, 2],
    )
    x = new("MatMul", x, new.constant(by_columns.T, TensorProto.FLOAT))
    x = new("MatMul", new.constant(by_rows, TensorProto.FLOAT), x)
    new.replace_with(new("Transpose", x, perm=[0, 2, 3, 1]))


def _resizing_matrix(
    node: Any, axis: int, size: int, settings: list[np.ndarray]
) -> np.ndarray:
    """Return the matrix by which an operation resizes one axis."""
    # The other axis keeps its only element.
    target, *others = (
        np.array([x[axis], other])
        for x, other in zip(settings, (1, 1, 0), strict=False)
    )
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        images = tf.constant(np.eye(size)[None, :, None, :], tf.float32)
        if node.type == "ScaleAndTranslate":
            resized = tf.raw_ops.ScaleAndTranslate(
                images=images,
                size=target.astype(np.int32),
                scale=others[0].astype(np.float32),
                translation=others[1].astype(np.float32),
                kernel_type=node.get_attr_value("kernel_type").decode(),
                antialias=bool(
                    node.get_attr_value("antialias", TensorProto.FLOAT)
                ),
            )
        else:
            options = {
                name: bool(node.get_attr_value(name, 0))
                for name in ("align_corners", "half_pixel_centers")
                if node.get_attr(name) is not None
            }
            resized = getattr(tf.raw_ops, node.type)(
                images=images, size=target.astype(np.int32), **options
            )
        return session.run(resized)[0, :, 0]


def cross(graph: Any, node: Any) -> None:
    """Multiply the components of two vectors in turn; ONNX has no Cross."""
    new = Formula(graph, node)
    a, b = new.inputs

    def product(first: list[int], second: list[int]) -> str:
        left, right = (
            new("Gather", x, order, axis=-1)
            for x, order in ((a, first), (b, second))
        )
        return new("Mul", left, right)

    after, before = [1, 2, 0], [2, 0, 1]
    new.replace_with(new("Sub", product(after, before), product(before, after)))


def part(graph: Any, node: Any) -> None:
    """Compute the real or imaginary part of a Fourier transform."""
    transform = node.inputs[0]
    if transform.type in FOURIER:
        _fourier_part(graph, node, transform)
        return
    if transform.type != "RFFT" or not transform.inputs[1].is_const():
        return
    x, _ = transform.input
    given = graph.get_shape(x)[-1]
    length = int(np.ravel(transform.inputs[1].get_tensor_value(False))[0])
    if given < 0:
        return
    matrix = PARTS[node.type](np.fft.rfft(np.eye(given, length)))
    new = Formula(graph, node)
    # Quiet frequencies are lost in the rounding of loud ones in float32.
    wide = new.cast(x, TensorProto.DOUBLE)
    result = new("MatMul", wide, new.constant(matrix, TensorProto.DOUBLE))
    new.replace_with(new.cast(result, TensorProto.FLOAT))


def _fourier_part(graph: Any, node: Any, transform: Any) -> None:
    """Compute a part of a Fourier transform over the last axes.

    ONNX has complex numbers as a last axis of two.
    """
    axes = FOURIER[transform.type]
    rank = len(graph.get_shape(transform.input[0]))
    if transform.inputs[0].type != "Complex" or graph.opset < DFT_OPSET:
        return
    new = Formula(graph, node)
    new.dtype = TensorProto.DOUBLE  # as in `part`
    pair = (
        new("Unsqueeze", new.cast(x, TensorProto.DOUBLE), [rank])
        for x in transform.inputs[0].input
    )
    value = new("Concat", *pair, axis=rank)
    for axis in range(rank - axes, rank):
        value = new("DFT", value, axis=axis)
    index = new.constant(list(PARTS).index(node.type), TensorProto.INT64)
    found = new("Gather", value, index, axis=rank)
    new.replace_with(new.cast(found, TensorProto.FLOAT))


DFT_OPSET = 17

FOURIER = {"FFT": 1, "FFT2D": 2, "FFT3D": 3}
"""For each transform of complex numbers, over how many axes it is."""

PARTS: dict[str, Callable] = {"Real": np.real, "Imag": np.imag}
"""In the order in which ONNX has them."""
