"""Conversions of convolutions."""

from typing import Any

import numpy as np
from onnx import TensorProto

from keras_inception_export.formats.onnx.conversions.rewriting import (
    Conversion,
    Formula,
    convert_by_default,
)


def _conv3d(graph: Any, node: Any) -> None:
    """Convert with groups; tf2onnx writes 3D convolutions with one."""
    convert_by_default(graph, node)
    channels, per_group = (graph.get_shape(x)[1] for x in node.input[:2])
    if channels > 0:
        node.set_attr("group", channels // per_group)


def _bias_add(graph: Any, node: Any) -> None:
    """Add to the second axis of channels_first, also if it is no constant."""
    if _is_channels_last(node):
        convert_by_default(graph, node)
        return
    new = Formula(graph, node)
    x, bias = new.inputs
    ones = [1] * (len(graph.get_shape(x)) - 2)
    shape = new.constant([-1, *ones], TensorProto.INT64)
    new.replace_with(new("Add", x, new("Reshape", bias, shape)))


def _is_channels_last(node: Any) -> bool:
    return not node.data_format.startswith("NC")


def _conv_transpose(graph: Any, node: Any) -> None:
    """Convert a transposed convolution of any stride and padding.

    TensorFlow crops the full result to a given size, from an offset that
    depends on the size, and adds zeros at the end where the size is larger.
    tf2onnx writes those zeros as negative padding.
    """
    new = Formula(graph, node)
    size, kernel, x, *bias = new.inputs
    last = _is_channels_last(node)
    rank = len(graph.get_shape(x))
    axes = list(range(1, rank - 1) if last else range(2, rank))

    def spatial(name: str) -> list[int]:
        attribute = node.get_attr(name)
        values = list(attribute.ints) if attribute else [1] * rank
        return [values[axis] for axis in axes]

    strides, dilations = spatial("strides"), spatial("dilations")
    lengths = graph.get_shape(kernel)[: len(axes)]
    spans = [
        dilation * (length - 1) + 1
        for dilation, length in zip(dilations, lengths, strict=True)
    ]
    same = node.get_attr_value("padding") == b"SAME"
    before = [graph.get_shape(x)[axis] for axis in axes]
    after = [graph.get_shape(node.output[0])[axis] for axis in axes]
    known = all(length > 0 for length in (*before, *after))
    if known:
        # How much longer the full result is than the required one.
        excess = [
            stride * (length - 1) + span - wanted
            for stride, length, span, wanted in zip(
                strides, before, spans, after, strict=True
            )
        ]
        starts = [max(0, e) // 2 if same else 0 for e in excess]
        ends = [e - start for e, start in zip(excess, starts, strict=True)]
        padding = {
            "pads": [*starts, *(max(0, end) for end in ends)],
            "output_padding": [max(0, -end) for end in ends],
        }
    else:
        padding = {"output_padding": [stride - 1 for stride in strides]}
    first = [0, rank - 1, *range(1, rank - 1)]
    result = new(
        "ConvTranspose",
        new("Transpose", x, perm=first) if last else x,
        new("Transpose", kernel, perm=[rank - 1, rank - 2, *range(rank - 2)]),
        *bias,
        strides=strides,
        dilations=dilations,
        kernel_shape=lengths,
        **{key: value for key, value in padding.items() if any(value)},
    )
    if not known:
        result = _cropped(new, result, size, axes, strides, same)
    if last:
        result = new("Transpose", result, perm=[0, *range(2, rank), 1])
    new.replace_with(result)


def _cropped(
    new: Formula,
    full: str,
    size: str,
    axes: list[int],
    strides: list[int],
    same: bool,
) -> str:
    """Crop the full result, which is channels first, to a size."""
    integer = TensorProto.INT64
    spatial = [axis + 2 for axis in range(len(axes))]
    wanted = new("Gather", new.cast(size, integer), new.constant(axes, integer))
    starts = new.constant(np.zeros(len(axes)), integer)
    if same:
        lengths = new(
            "Gather", new("Shape", full), new.constant(spatial, integer)
        )
        lengths = new(
            "Sub", lengths, new.constant(np.subtract(strides, 1), integer)
        )
        excess = new("Max", new("Sub", lengths, wanted), starts)
        starts = new("Div", excess, new.constant(2, integer))
    return new(
        "Slice",
        full,
        starts,
        new("Add", starts, wanted),
        new.constant(spatial, integer),
    )


CONVOLUTIONS: dict[str, Conversion] = {
    "BiasAdd": _bias_add,
    "Conv2DBackpropInput": _conv_transpose,
    "Conv3D": _conv3d,
    "Conv3DBackpropInputV2": _conv_transpose,
}
