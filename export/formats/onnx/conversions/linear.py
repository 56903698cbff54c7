"""Conversions of linear operations.

For most of them TensorFlow itself computes a matrix, from the unit vectors.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from onnx import TensorProto

from keras_inception_export.formats.onnx.conversions.integers import is_size
from keras_inception_export.formats.onnx.conversions.rewriting import (
    FLOATS,
    INT64,
    Formula,
    value_of,
)


def resize(new: Formula) -> str | Sequence[str]:
    """Resize rows and columns from known sizes, with one matrix each.

    Resize of ONNX has other coefficients, and neither Lanczos nor antialiasing.
    A node with unknown sizes is reported as not converted.
    """
    sizes = new.graph.get_shape(new.inputs[0])[1:3]
    settings = [value_of(x) for x in new.node.inputs[1:]]
    if min(sizes) < 0 or settings[0] is None:
        return ()
    for index, given in enumerate(settings):
        if given is None:
            if not is_size(new.node.inputs[1 + index]):
                return ()
            # The scale, computed from the shape.
            scale = np.divide(settings[0], sizes, dtype=np.float32)
            settings[index] = scale
    by_rows, by_columns = (
        _resizing_matrix(new.node, axis, size, settings)
        for axis, size in enumerate(sizes)
    )
    x = new.cast(new.inputs[0], TensorProto.FLOAT)
    x = new("Transpose", x, perm=[0, 3, 1, 2])
    x = new("MatMul", x, new.constant(by_columns.T, TensorProto.FLOAT))
    x = new("MatMul", new.constant(by_rows, TensorProto.FLOAT), x)
    return new("Transpose", x, perm=[0, 2, 3, 1])


def resize_by_scales(new: Formula) -> tuple[()]:
    """Interpolate integers as floats, and to the size where a scale misses it.

    tf2onnx interpolates integers as such, and gives scales in float32: 3 times
    5 / 3 is 4 when it is rounded down.
    """
    graph, node = new.graph, new.node
    if node.type == "ResizeBilinear" and new.dtype not in FLOATS:
        cast = graph.insert_new_node_on_input(
            node, "Cast", node.input[0], to=TensorProto.FLOAT
        )
        graph.set_dtype(cast.output[0], TensorProto.FLOAT)
        graph.copy_shape(cast.input[0], cast.output[0])
    wanted = value_of(node.inputs[1])
    given = np.array(graph.get_shape(node.input[0])[1:3])
    if wanted is not None and given.min() > 0:
        scales = np.float32(wanted / given).astype("float64")
        if (np.floor(scales * given) != wanted).any():
            # A size that is not a constant is given as it is.
            size = new.cast(node.input[1], INT64)
            graph.replace_input(node, node.input[1], size, 1)
    return new.by_default()


def _resizing_matrix(
    node: Any, axis: int, size: int, settings: Sequence[Any]
) -> np.ndarray:
    """Return the matrix by which an operation resizes one axis."""
    # The other axis keeps its only element.
    operands = {
        name: np.array([values[axis], other], dtype)
        for (name, dtype, other), values in zip(
            SETTINGS, settings, strict=False
        )
    }
    given = {x: node.get_attr_value(x) for x in ATTRIBUTES if node.get_attr(x)}
    options = {
        name: value if isinstance(value, bytes) else bool(value)
        for name, value in given.items()
    }
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        images = tf.constant(np.eye(size)[None, :, None, :], tf.float32)
        operation = getattr(tf.raw_ops, node.type)
        resized = operation(images=images, **operands, **options)
        return session.run(resized)[0, :, 0]


ATTRIBUTES = ("align_corners", "half_pixel_centers", "kernel_type", "antialias")

SETTINGS = (
    *(("size", np.int32, 1), ("scale", np.float32, 1)),
    ("translation", np.float32, 0),
)
"""The operands that resize: name, dtype, and value for an axis that is kept."""


def cross(new: Formula) -> str:
    """Multiply the components of two vectors in turn; ONNX has no Cross."""
    a, b = new.inputs

    def product(first: list[int], second: list[int]) -> str:
        left, right = (
            new("Gather", x, order, axis=-1)
            for x, order in ((a, first), (b, second))
        )
        return new("Mul", left, right)

    after, before = [1, 2, 0], [2, 0, 1]
    return new("Sub", product(after, before), product(before, after))


def part(new: Formula) -> str | Sequence[str]:
    """Compute the real or imaginary part of a Fourier transform."""
    transform = new.node.inputs[0]
    if transform.type in FOURIER:
        return _fourier_part(new, transform)
    if transform.type != "RFFT":
        return ()
    x, _ = transform.input
    given = new.graph.get_shape(x)[-1]
    length = value_of(transform.inputs[1])
    if length is None or given < 0:
        return ()
    spectra = np.fft.rfft(np.eye(given, int(np.ravel(length)[0])))
    matrix = PARTS[new.node.type](spectra)
    # Quiet frequencies are lost in the rounding of loud ones in float32.
    wide = new.cast(x, TensorProto.DOUBLE)
    result = new("MatMul", wide, new.constant(matrix, TensorProto.DOUBLE))
    return new.cast(result, TensorProto.FLOAT)


def _fourier_part(new: Formula, transform: Any) -> str | Sequence[str]:
    """Compute a part of a Fourier transform over the last axes.

    ONNX has complex numbers as a last axis of two.
    """
    rank = new.rank(transform.input[0])
    if transform.inputs[0].type != "Complex" or new.graph.opset < DFT_OPSET:
        return ()
    new.dtype = TensorProto.DOUBLE  # as in `part`
    pair = (
        new("Unsqueeze", new.cast(x, TensorProto.DOUBLE), [rank])
        for x in transform.inputs[0].input
    )
    value = new("Concat", *pair, axis=rank)
    for axis in range(rank - FOURIER[transform.type], rank):
        value = new("DFT", value, axis=axis)
    index = new.constant(list(PARTS).index(new.node.type), TensorProto.INT64)
    found = new("Gather", value, index, axis=rank)
    return new.cast(found, TensorProto.FLOAT)


DFT_OPSET = 17

FOURIER = {"FFT": 1, "FFT2D": 2, "FFT3D": 3}
"""For each transform of complex numbers, over how many axes it is."""

PARTS: dict[str, Callable] = {"Real": np.real, "Imag": np.imag}
"""In the order in which ONNX has them."""
