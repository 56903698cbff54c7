"""The table of TensorFlow operations that tf2onnx gets wrong.

An entry of `CONVERSIONS` replaces the conversion of tf2onnx, or changes the
node and leaves the rest to it; tf2onnx converts all other operations. An entry
that leaves its node unchanged has it reported as an operation that ONNX cannot
express. Each function says what is wrong without it.
"""

from keras_inception_export.formats.onnx.conversions import (
    convolutions,
    integers,
    linear,
    reals,
    scattering,
    slicing,
)
from keras_inception_export.formats.onnx.conversions.rewriting import Conversion

SEGMENTS = tuple(
    f"UnsortedSegment{reduction}" for reduction in ("Max", "Min", "Prod", "Sum")
)
RESIZES = ("ResizeArea", "ResizeBicubic", "ScaleAndTranslate")

CONVERSIONS: dict[str, Conversion] = {
    "Atan2": reals.atan2,
    "AvgPool": convolutions.pool,
    "AvgPool3D": convolutions.pool,
    "BiasAdd": convolutions.bias_add,
    "Bitcast": reals.bitcast,
    "BitwiseAnd": integers.bitwise_and,
    "BroadcastArgs": integers.broadcast_shape,
    "Bucketize": integers.bucketize,
    "Conv2DBackpropInput": convolutions.conv_transpose,
    "Conv3D": convolutions.conv3d,
    "Conv3DBackpropInputV2": convolutions.conv_transpose,
    "Cross": linear.cross,
    "Cumprod": integers.cumulative_product,
    "Erfc": reals.erfc,
    "Expm1": reals.expm1,
    "FloorDiv": integers.floor_div,
    "FloorMod": integers.floor_mod,
    "Imag": linear.part,
    "LeftShift": integers.shift,
    "Log1p": reals.log1p,
    "LowerBound": integers.bound,
    "MatrixBandPart": reals.band_part,
    "MaxPool": convolutions.pool,
    "MaxPool3D": convolutions.pool,
    "OneHot": integers.one_hot,
    "PadV2": integers.pad,
    "Prod": integers.product,
    "Real": linear.part,
    "ResizeBilinear": linear.resize_by_scales,
    "ResizeNearestNeighbor": linear.resize_by_scales,
    "RightShift": integers.shift,
    "Roll": scattering.roll,
    "ScatterNd": scattering.scatter,
    "Select": reals.select,
    "SelectV2": reals.select,
    "SparseSoftmaxCrossEntropyWithLogits": reals.cross_entropy,
    "StridedSlice": slicing.strided_slice,
    "Sum": integers.int32_sum,
    "TopKV2": integers.top_k,
    "UpperBound": integers.bound,
    "XlaDynamicUpdateSlice": scattering.update_slice,
    **dict.fromkeys(RESIZES, linear.resize),
    **dict.fromkeys(SEGMENTS, scattering.reduce_segments),
}
"""By type of TensorFlow operation, what converts it to ONNX nodes."""

CONDITIONS = {
    "ScatterNd": " before opset 16",
    **dict.fromkeys(RESIZES, " of unknown size"),
}
"""When an operation of the table cannot be converted, for messages."""
