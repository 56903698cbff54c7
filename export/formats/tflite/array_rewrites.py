"""Rewrites of operations on images, volumes and arrays."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_inception_export.formats.rewriting import Rewrite, op_type_of


def roll(x: tf.Tensor, shift: tf.Tensor, axis: tf.Tensor) -> tf.Tensor | None:
    """Gather along each axis: TFLite has no such operator."""
    shifts, axes = tf.get_static_value(shift), tf.get_static_value(axis)
    if shifts is None or axes is None:
        return None
    result = x
    pairs = zip(np.atleast_1d(shifts), np.atleast_1d(axes), strict=True)
    for count, number in pairs:
        length = x.shape[number]
        if length is None:
            length = tf.shape(x)[number]
        order = (tf.range(length) - count) % length
        result = tf.gather(result, order, axis=number)
    result.set_shape(x.shape)
    return result


def strided_slice(
    x: tf.Tensor,
    begin: tf.Tensor,
    end: tf.Tensor,
    strides: tf.Tensor,
    *,
    begin_mask: int = 0,
    end_mask: int = 0,
    ellipsis_mask: int = 0,
    new_axis_mask: int = 0,
    shrink_axis_mask: int = 0,
) -> tf.Tensor | None:
    """Add new axes after slicing: TFLite adds none if a size is unknown."""
    if not new_axis_mask or x.shape.is_fully_defined():
        return None

    def is_set(mask: int, index: int) -> bool:
        return bool(mask >> index & 1)

    kept: list[int] = []
    added: list[int] = []
    axes = 0  # of the result
    for index in range(begin.shape[0]):
        if is_set(ellipsis_mask, index):
            later = range(index + 1, begin.shape[0])
            read = len(kept) + sum(not is_set(new_axis_mask, i) for i in later)
            axes += x.shape.rank - read
            kept.append(index)
        elif is_set(new_axis_mask, index):
            added.append(axes)
            axes += 1
        else:
            kept.append(index)
            axes += not is_set(shrink_axis_mask, index)

    def moved(mask: int) -> int:
        return sum(is_set(mask, old) << new for new, old in enumerate(kept))

    begin, end, strides = (tf.gather(y, kept) for y in (begin, end, strides))
    x = tf.raw_ops.StridedSlice(
        input=x,
        begin=begin,
        end=end,
        strides=strides,
        begin_mask=moved(begin_mask),
        end_mask=moved(end_mask),
        ellipsis_mask=moved(ellipsis_mask),
        shrink_axis_mask=moved(shrink_axis_mask),
    )
    for axis in added:
        x = tf.expand_dims(x, axis)
    return x


def mean(
    x: tf.Tensor, axes: tf.Tensor, *, keep_dims: bool = False
) -> tf.Tensor | None:
    """Average one axis after the other, the last one first.

    LiteRT adds one value at a time: the mean of 32,768 equal values is off by
    more than 1e-5. The pooling of images has a kernel of its own.
    """
    found = tf.get_static_value(axes)
    if found is None or x.shape.rank is None or not x.dtype.is_floating:
        return None
    order = sorted({int(axis) % x.shape.rank for axis in np.ravel(found)})
    if len(order) < 2 or (x.shape.rank == 4 and order == [1, 2]):
        return None
    for axis in reversed(order):
        x = tf.reduce_mean(x, axis, keepdims=keep_dims)
    return x


def resize_bilinear(
    x: tf.Tensor,
    size: tf.Tensor,
    *,
    align_corners: bool = False,
    half_pixel_centers: bool = False,
) -> tf.Tensor | None:
    """Interpolate integers as floats, as TensorFlow does."""
    if x.dtype.is_floating:
        return None
    return tf.raw_ops.ResizeBilinear(
        images=tf.cast(x, tf.float32),
        size=size,
        align_corners=align_corners,
        half_pixel_centers=half_pixel_centers,
    )


def scatter_update(
    x: tf.Tensor, indices: tf.Tensor, updates: tf.Tensor
) -> tf.Tensor | None:
    """Choose what is written: the converter multiplies the rest by 0.

    That makes NaN of infinity.
    """
    if x.dtype != tf.float32:
        return None
    shape = tf.shape(x)
    is_written = tf.scatter_nd(indices, tf.ones_like(updates), shape) > 0
    return tf.where(is_written, tf.scatter_nd(indices, updates, shape), x)


def bound(compare: Callable[..., Any]) -> Rewrite:
    """Count the sorted numbers for which a comparison with a value is true."""

    def rewrite(
        numbers: tf.Tensor, values: tf.Tensor, *, out_type: int = 0
    ) -> tf.Tensor:
        is_before = compare(numbers[:, tf.newaxis, :], values[..., tf.newaxis])
        return tf.reduce_sum(tf.cast(is_before, tf.as_dtype(out_type)), -1)

    return rewrite


def bincount(
    x: tf.Tensor,
    size: tf.Tensor,
    weights: tf.Tensor,
    *,
    binary_output: bool = False,
) -> tf.Tensor | None:
    """Add one-hot vectors: TFLite has no such operator."""
    count = _static_size(size)
    if count is None:
        return None
    vectors = tf.one_hot(x, count, dtype=weights.dtype)
    if weights.shape.num_elements() != 0:
        vectors *= weights[..., tf.newaxis]
    combine = tf.reduce_max if binary_output else tf.reduce_sum
    return combine(vectors, axis=-2)


def look_up(
    table: tf.Tensor, keys: tf.Tensor, default: tf.Tensor
) -> tf.Tensor | None:
    """Compare with each key of a table: those of TFLite are for text only."""
    if keys.dtype != tf.int64 or not default.dtype.is_integer:
        return None
    captures = table.graph.captures
    captured = [outer for outer, inner in captures if inner is table]
    if not captured or not hasattr(captured[0], "numpy"):
        return None
    # The saved function must not depend on the table any more.
    table.graph.function_captures.pop(id(captured[0]), is_by_ref=False)
    with tf.init_scope():
        known, values = tf.raw_ops.LookupTableExportV2(
            table_handle=captured[0], Tkeys=keys.dtype, Tvalues=default.dtype
        )
    order = np.argsort(known)  # that of a hash table is arbitrary
    found = tf.equal(keys[..., tf.newaxis], known.numpy()[order])
    value = tf.reduce_sum(tf.where(found, values.numpy()[order], 0), -1)
    return tf.where(tf.reduce_any(found, -1), value, default)


def _static_size(size: tf.Tensor) -> Any:
    """Return a constant, also if it is written as min(c, max(c, x))."""
    inner = size
    bounds = []
    for op_type in ("Minimum", "Maximum"):
        if op_type_of(inner) != op_type:
            break
        bound, inner = inner.op.inputs
        bounds.append(tf.get_static_value(bound))
    if len(bounds) == 2 and bounds[0] == bounds[1]:
        return bounds[0]
    return tf.get_static_value(size)


def conv_3d(
    x: tf.Tensor,
    kernel: tf.Tensor,
    *,
    strides: Sequence[int] = (),
    padding: str = "",
    data_format: str = "",
    dilations: Sequence[int] = (),
) -> tf.Tensor | None:
    """Join one convolution per group: the runtime's kernel has no groups."""
    axis = data_format.index("C")
    channels = x.shape[axis]
    groups = 1 if channels is None else channels // kernel.shape[3]
    if groups == 1:
        return None
    pairs = zip(
        tf.split(x, groups, axis), tf.split(kernel, groups, 4), strict=True
    )
    parts = [
        tf.nn.conv3d(part, k, strides, padding, data_format, dilations)
        for part, k in pairs
    ]
    return tf.concat(parts, axis)


def pool_3d(pool_2d: Callable[..., Any]) -> Rewrite:
    """Pool over height and width, then over depth: TFLite has no third axis.

    A maximum, and a mean that leaves the padding out, may be taken so.
    """

    def rewrite(
        x: tf.Tensor,
        *,
        ksize: Sequence[int] = (),
        strides: Sequence[int] = (),
        padding: str = "",
        data_format: str = "",
    ) -> tf.Tensor | None:
        if data_format != "NDHWC" or x.shape[4] is None:
            return None
        _, depth, height, width, channels = _shape(x)
        plane = tf.reshape(x, [-1, height, width, channels])
        plane = pool_2d(plane, ksize[2:4], strides[2:4], padding)
        _, height, width, _ = _shape(plane)
        column = tf.reshape(plane, [-1, depth, height * width, channels])
        column = pool_2d(column, [ksize[1], 1], [strides[1], 1], padding)
        result = [-1, _shape(column)[1], height, width, channels]
        return tf.reshape(column, result)

    return rewrite


def _shape(x: tf.Tensor) -> list[Any]:
    """Return the sizes of a tensor, numbers where they are known."""
    known, sizes = x.shape.as_list(), tf.shape(x)
    return [sizes[i] if n is None else n for i, n in enumerate(known)]
