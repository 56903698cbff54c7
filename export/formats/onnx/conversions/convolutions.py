"""Conversions of convolutions and of pooling."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_inception_export.formats.onnx.conversions.rewriting import (
    INT64,
    Formula,
)


def conv3d(new: Formula) -> Sequence[str]:
    """Convert with groups; tf2onnx writes 3D convolutions with one."""
    new.by_default()
    node = new.node
    channels, per_group = (new.graph.get_shape(x)[1] for x in node.input[:2])
    if channels > 0:
        node.set_attr("group", channels // per_group)
    return ()


def bias_add(new: Formula) -> str | Sequence[str]:
    """Add to the second axis of channels_first, also if it is no constant."""
    if _is_channels_last(new.node):
        return new.by_default()
    x, bias = new.inputs
    shape = [-1] + [1] * (new.rank(x) - 2)
    return new("Add", x, new("Reshape", bias, shape))


def _is_channels_last(node: Any) -> bool:
    return not node.data_format.startswith("NC")


def conv_transpose(new: Formula) -> str:
    """Convert a transposed convolution of any stride and padding.

    TensorFlow crops the full result to a given size, from an offset that
    depends on the size, and adds zeros at the end where the size is larger.
    tf2onnx writes those zeros as negative padding.
    """
    graph, node = new.graph, new.node
    size, kernel, x, *bias = new.inputs
    last = _is_channels_last(node)
    rank = new.rank(x)
    axes = list(range(1, rank - 1) if last else range(2, rank))

    def spatial(name: str) -> np.ndarray:
        attribute = node.get_attr(name)
        return np.take(attribute.ints if attribute else [1] * rank, axes)

    strides, dilations = spatial("strides"), spatial("dilations")
    lengths = graph.get_shape(kernel)[: len(axes)]
    same = node.get_attr_value("padding") == b"SAME"
    before = np.take(graph.get_shape(x), axes)
    after = np.take(graph.get_shape(node.output[0]), axes)
    known = min(*before, *after) > 0
    if known:
        # How much longer the full result is than the required one.
        spans = dilations * np.subtract(lengths, 1) + 1
        excess = strides * (before - 1) + spans - after
        starts = np.maximum(excess, 0) // 2 * same
        ends = excess - starts
        padding = {
            "pads": np.maximum([starts, ends], 0).ravel(),
            "output_padding": np.maximum(-ends, 0),
        }
    else:
        padding = {"output_padding": strides - 1}
    first = [0, rank - 1, *range(1, rank - 1)]
    result = new(
        "ConvTranspose",
        new("Transpose", x, perm=first) if last else x,
        new("Transpose", kernel, perm=[rank - 1, rank - 2, *range(rank - 2)]),
        *bias,
        strides=strides.tolist(),
        dilations=dilations.tolist(),
        kernel_shape=lengths,
        **{key: value.tolist() for key, value in padding.items() if any(value)},
    )
    if not known:
        result = _cropped(new, result, size, axes, strides, same)
    if last:
        result = new("Transpose", result, perm=[0, *range(2, rank), 1])
    return result


def _cropped(
    new: Formula,
    full: str,
    size: str,
    axes: list[int],
    strides: np.ndarray,
    same: bool,
) -> str:
    """Crop the full result, which is channels first, to a size."""
    spatial = [axis + 2 for axis in range(len(axes))]
    wanted = new("Gather", new.cast(size, INT64), axes)
    starts = new.constant([0] * len(axes), INT64)
    if same:
        lengths = new("Gather", new("Shape", full), spatial)
        lengths = new("Sub", lengths, (strides - 1).tolist())
        excess = new("Max", new("Sub", lengths, wanted), starts)
        starts = new("Div", excess, new.constant(2, INT64))
    return new("Slice", full, starts, new("Add", starts, wanted), spatial)


def pool(new: Formula) -> Sequence[str]:
    """Cut off what no window reads, if strides are larger than windows.

    ONNX Runtime takes it for negative padding of an unknown size.
    """
    graph, node = new.graph, new.node
    (x,) = new.inputs
    shape = graph.get_shape(x)
    sizes, strides = (node.get_attr(k).ints for k in ("ksize", "strides"))
    axes = [i for i, size in enumerate(sizes) if size < strides[i]]
    same = node.get_attr_value("padding") == b"SAME"
    if axes and same and min(shape[1:]) < 0:
        lengths = new("Gather", new("Shape", x), axes)
        steps = [strides[axis] for axis in axes]
        starts = new("Mul", new("Div", new("Sub", lengths, [1]), steps), steps)
        ends = new("Add", starts, [sizes[axis] for axis in axes])
        x = new("Slice", x, [0] * len(axes), ends, axes)
        graph.set_shape(
            x, [-1 if i in axes else n for i, n in enumerate(shape)]
        )
        graph.replace_input(node, node.input[0], x, 0)
    return new.by_default()
