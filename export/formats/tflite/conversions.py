"""The table of what TFLite's converter or runtime gets wrong or lacks.

For a type of TensorFlow operation, `CONVERSIONS` has the function that computes
the same with operators that TFLite gets right. The model is traced with these
functions for TFLite only. Each function says what is wrong without it.
"""

import tensorflow as tf

from keras_inception_export.formats.rewriting import Rewrite
from keras_inception_export.formats.saved_model.conversions import (
    conv_2d_transpose,
)
from keras_inception_export.formats.tflite import (
    array_rewrites,
    float_rewrites,
    integer_rewrites,
    matrix_rewrites,
)
from keras_inception_export.formats.tflite.float_rewrites import in_float32
from keras_inception_export.formats.tflite.function_rewrites import FUNCTIONS
from keras_inception_export.formats.tflite.integer_rewrites import (
    bitwise_and,
    in_int32,
    invert,
    left_shift,
)

CONVERSIONS: dict[str, Rewrite] = {
    # Overflow, or lose the digits of small numbers.
    "Expm1": float_rewrites.expm1,
    "Log1p": float_rewrites.log1p,
    "Softplus": float_rewrites.softplus,
    # Inexact for many values.
    "Mean": array_rewrites.mean,
    # Wrong for zero or infinity.
    "FloorDiv": float_rewrites.floor_div,
    "Rsqrt": float_rewrites.rsqrt,
    "TensorScatterUpdate": array_rewrites.scatter_update,
    # No kernel, or none for groups, dilation, a third dimension or integers.
    "Atan2": float_rewrites.atan2,
    "AvgPool3D": array_rewrites.pool_3d(tf.nn.avg_pool2d),
    "Cross": matrix_rewrites.cross,
    "Cumprod": matrix_rewrites.cumulative_product,
    "Conv2DBackpropInput": conv_2d_transpose,
    "Conv3D": array_rewrites.conv_3d,
    "DenseBincount": array_rewrites.bincount,
    "Einsum": matrix_rewrites.einsum,
    "LookupTableFindV2": array_rewrites.look_up,
    "LowerBound": array_rewrites.bound(tf.less),
    "MatrixDiagPartV3": matrix_rewrites.diagonal,
    "MatrixDiagV3": matrix_rewrites.diagonal_matrix,
    "MaxPool3D": array_rewrites.pool_3d(tf.nn.max_pool2d),
    "ResizeBilinear": array_rewrites.resize_bilinear,
    "Roll": array_rewrites.roll,
    "StridedSlice": array_rewrites.strided_slice,
    "UpperBound": array_rewrites.bound(tf.less_equal),
    **FUNCTIONS,
    # No kernel for float64 or narrow integers.
    "Ceil": in_float32(tf.math.ceil),
    "Floor": in_float32(tf.floor),
    "Mul": in_float32(tf.multiply, in_int32(tf.multiply)),
    "Round": in_float32(tf.round),
    "Sub": in_float32(tf.subtract, in_int32(tf.subtract)),
    # No kernel, or none for some integers.
    "Abs": integer_rewrites.absolute,
    "BatchMatMulV3": integer_rewrites.matmul,
    "BitwiseAnd": in_int32(bitwise_and, bitwise_and),
    "BitwiseOr": integer_rewrites.bitwise_or,
    "Invert": in_int32(invert, invert),
    "LeftShift": in_int32(left_shift, left_shift),
    "Pow": integer_rewrites.power,
    "Sign": integer_rewrites.sign,
    # No kernel for narrow integers, or one that aborts the process.
    "AddV2": in_int32(tf.add),
    "Cumsum": in_int32(tf.cumsum, exclusive=False, reverse=False),
    "Equal": in_int32(tf.equal),
    "FloorMod": in_int32(tf.math.floormod),
    "Greater": in_int32(tf.greater),
    "GreaterEqual": in_int32(tf.greater_equal),
    "Less": in_int32(tf.less),
    "LessEqual": in_int32(tf.less_equal),
    "Max": in_int32(tf.reduce_max, keep_dims=False),
    "Maximum": in_int32(tf.maximum),
    "Min": in_int32(tf.reduce_min, keep_dims=False),
    "Minimum": in_int32(tf.minimum),
    "Neg": in_int32(tf.negative),
    "NotEqual": in_int32(tf.not_equal),
    "Pad": in_int32(tf.pad),
    "PadV2": in_int32(
        lambda x, paddings, value: tf.pad(x, paddings, "CONSTANT", value)
    ),
    "Relu": in_int32(tf.nn.relu),
    "ReverseV2": in_int32(tf.reverse),
    "SelectV2": in_int32(tf.where),
    "Square": in_int32(tf.square),
    "Sum": in_int32(tf.reduce_sum, keep_dims=False),
    "Tile": in_int32(tf.tile),
}
"""By type of TensorFlow operation, what replaces it."""
