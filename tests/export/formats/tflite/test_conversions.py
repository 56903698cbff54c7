"""What TFLite gets wrong, compared with the live model on hostile inputs."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

from keras_inception_export.formats.rewriting import rewritten
from keras_inception_export.formats.tflite import export
from keras_inception_export.formats.tflite.conversions import CONVERSIONS
from keras_inception_export.formats.tflite.runtime import open_runner
from keras_inception_export.model.inference_model import InferenceModel

RNG = np.random.default_rng(0)
SMALL = np.float32([1e-10, 1e-5, 1e-3, 0.05, 0.29, 0.31, 0.49, 0.51, 1, 3])
LARGE = np.float32([6, 16, 20, 50, 87, 88, 89, 100, 1e3, 1e4])
FLOATS = np.concatenate([[0], SMALL, -SMALL, LARGE, -LARGE]).astype("float32")
INFINITE = np.float32([np.inf, -np.inf, np.nan, 0, 1, -1, 3e38])
INTEGERS = {
    "int32": [0, 1, 3, 7, 60, 210, 2**24 + 1, -1, -7, -60, -210, -(2**24) - 1],
    "int64": [0, 1, 3, 7, 60, 2**40 + 1, -1, -7, -60, -(2**40) - 1],
    "int16": [0, 1, 3, 7, 60, 210, 30000, -1, -7, -60, -210, -30000],
    "int8": [0, 1, 3, 7, 60, 127, -1, -7, -60, -128],
    "uint8": [0, 1, 3, 7, 60, 127, 128, 254, 255],
}
ROWS = np.where(np.arange(24).reshape(2, 3, 4) < 12, 0, RNG.normal(size=4))
EXTREMES = np.float32([[1e30], [1e30], [1e-30], [1]])
VOLUME = RNG.normal(size=(2, 5, 6, 7, 4)).astype("float32")


def unit(x):
    return layers.UnitNormalization(axis=-1)(x)


def cosine(x):
    return layers.Dot(axes=-1, normalize=True)([x, ops.flip(x, 1)])


def infinity_is(value):
    return lambda x: ops.where(ops.isinf(x), ops.zeros_like(x) + value, x)


def looked_up(mode):
    return lambda x: layers.IntegerLookup(
        vocabulary=[60, -7, 7], output_mode=mode
    )(x)


def counts(mode):
    return lambda x: layers.CategoryEncoding(5, output_mode=mode)(
        ops.cast(ops.abs(x[:, :, 0]), "int32")
    )


REPLACED = {}
"""By group: functions, and the input on which they are compared."""

REPLACED["floats"] = (
    [
        ops.softplus,
        ops.log_sigmoid,
        ops.log1p,
        ops.expm1,
        lambda x: ops.logaddexp(x, ops.flip(x)),
        lambda x: ops.arctan2(x[:, None], ops.flip(x)),
        layers.Activation("mish"),
        lambda x: x // 0.1,
        lambda x: x // ops.relu(x),
    ],
    FLOATS,
)
REPLACED["quotients"] = (
    [lambda x: x // 60, lambda x: -x // 0.1],
    np.float32([*range(-600, 600, 60), *np.arange(12) / 10]),
)
REPLACED["functions"] = (
    [
        getattr(ops, name)
        for name in (
            "arccos arccosh arcsin arcsinh arctan arctanh cosh erf sinh tan"
        ).split()
    ],
    FLOATS,
)
REPLACED["complements"] = ([ops.erfc, ops.erfinv], FLOATS[:, None])
REPLACED["infinities"] = (
    [
        ops.isinf,
        ops.isposinf,
        ops.isneginf,
        ops.nan_to_num,
        infinity_is(3.0),
        lambda x: ops.equal(-np.inf, x),
        lambda x: ops.not_equal(x, np.inf),
        ops.signbit,
        lambda x: ops.argmax(ops.where(x > 0, x, -x)),
        lambda x: ops.nanargmax(ops.where(x < 0, x, np.nan)),
        lambda x: ops.isinf(ops.nanmax(ops.where(x < -1, x, np.nan))),
        lambda x: ops.scatter_update(x, [[0], [1]], [1.0, 2.0]),
    ],
    INFINITE,
)
REPLACED["zero_vectors"] = (
    [
        unit,
        cosine,
        ops.normalize,
        lambda x: ops.roll(x, (1, -2), axis=(1, 2)),
        lambda x: ops.roll(x, 5),
        counts("multi_hot"),
        counts("count"),
    ],
    ROWS.astype("float32"),
)
REPLACED["matrices"] = (
    [
        lambda x: ops.cross(x, x[:, ::-1]),
        lambda x: ops.diagonal(x, offset=-1, axis1=1, axis2=2),
        lambda x: ops.diag(x[0, 0], k=-2),
        lambda x: ops.cumprod(x, axis=1),
        lambda x: ops.cumprod(x * EXTREMES, axis=1),
        lambda x: ops.median(x, axis=1),
        *(
            layers.Lambda(lambda x, m=m: ops.quantile(x, 0.4, axis=2, method=m))
            for m in ("higher", "midpoint", "nearest")
        ),
        lambda x: ops.einsum("bij,bij->b", x, x),
        lambda x: ops.einsum("bij,bkl->bjkil", x, x),
        lambda x: ops.einsum("bii->ib", x[:, :3]),
        lambda x: ops.searchsorted(ops.sort(x[0, 0]), x[0, 1]),
        lambda x: ops.searchsorted(ops.sort(x[0, 0]), x[0, 0], side="right"),
    ],
    RNG.normal(size=(2, 4, 3)).astype("float32"),
)
REPLACED["slices"] = (
    [
        lambda x: x[:, 1:, ..., None],
        lambda x: x[None, ..., 0, None, ::2],
        lambda x: ops.roll(x > 0, 1, axis=2),
    ],
    VOLUME[:, 0],
)
REPLACED["volumes"] = (
    [
        layers.MaxPooling3D(2),
        layers.MaxPooling3D(3, 2, padding="same"),
        layers.AveragePooling3D((2, 3, 2)),
        layers.AveragePooling3D((3, 1, 2), (1, 2, 3), padding="same"),
        layers.Conv3D(6, 2, groups=2),
        layers.Conv3D(8, (1, 2, 3), groups=4, strides=2, padding="same"),
    ],
    VOLUME,
)
REPLACED["dilated"] = (
    [
        layers.Conv2DTranspose(3, 3, dilation_rate=2, padding="same"),
        layers.Conv2DTranspose(2, (2, 3), dilation_rate=(3, 2)),
    ],
    VOLUME[:, 0],
)
ARITHMETIC = [
    lambda x: x // 3,
    lambda x: x % 3,
    lambda x: x**3,
    lambda x: x + x,
    lambda x: 7 - x,
    lambda x: ops.clip(x, 2, 100),
    ops.abs,
    ops.sign,
    lambda x: x > 3,
    lambda x: ops.equal(x, ops.flip(x)),
    lambda x: ops.not_equal(x, ops.flip(x)),
    ops.max,
    ops.cumsum,
    lambda x: ops.where(x > 2, x, 0),
    lambda x: ops.pad(x, [[1, 2]]),
    lambda x: ops.sort(x),
]
TENSORFLOW = [
    lambda x: tf.math.floormod(x, 3),
    lambda x: tf.less(x, 3) | tf.greater(x, 60),
    lambda x: tf.less_equal(x, 3) | tf.greater_equal(x, 60),
    lambda x: tf.pad(x, [[1, 2]], constant_values=1),
    lambda x: tf.tile(x, [2]),
    tf.square,
    tf.reduce_sum,
    tf.reduce_min,
    tf.nn.relu,
]
ARITHMETIC += [layers.Lambda(function) for function in TENSORFLOW]
BITS = [
    ops.bitwise_not,
    lambda x: ops.bitwise_and(x, ops.flip(x)),
    lambda x: ops.bitwise_or(x, ops.flip(x)),
    lambda x: ops.bitwise_xor(x, ops.flip(x)),
    lambda x: ops.left_shift(x, 1),
    lambda x: ops.right_shift(x, 2),
]
for dtype, values in INTEGERS.items():
    wide = dtype == "int64"  # no kernels of FloorDiv and bitwise operations
    functions = ARITHMETIC[1:] if wide else ARITHMETIC + BITS
    REPLACED[dtype] = (functions, np.array(values, dtype))

REPLACED["int64"][0].extend([looked_up("int"), looked_up("multi_hot")])

# Products whose sum float32 does not hold.
KERNEL = RNG.integers(-128, 128, (2500, 4)).astype("int8")
ROWS = RNG.integers(-128, 128, (2, 3, 2500)).astype("int8")
KERNEL[:, 0], ROWS[0] = 127, 127
PRODUCTS = [
    lambda x: tf.matmul(x, KERNEL, output_type=tf.int32),
    lambda x: tf.matmul(x, KERNEL.T, transpose_b=True, output_type=tf.int32),
]
REPLACED["products"] = ([layers.Lambda(product) for product in PRODUCTS], ROWS)


EQUAL = np.full((2, 128, 128, 2), 0.1, "float32")
REPLACED["equal_values"] = (
    [
        lambda x: ops.mean(x, axis=(1, 2, 3)),
        lambda x: ops.mean(x, axis=(-3, -1), keepdims=True),
    ],
    EQUAL,
)
PIXELS = RNG.integers(0, 256, (2, 3, 4, 2)).astype("uint8")
REPLACED["pixels"] = ([lambda x: ops.image.resize(x, (6, 8))], PIXELS)


def outputs_of(functions, values, path, unknown=False):
    """Return what the artifact computes, and what the live model computes."""
    model = model_of(functions, values, unknown)
    inference_model = InferenceModel.of(model)
    export.write(inference_model, path, opset=18)
    results = open_runner(path).run({"x": values})
    actual = [results[spec.name] for spec in inference_model.outputs]
    expected = model(tf.constant(values), training=False)
    return actual, [np.asarray(y) for y in keras.tree.flatten(expected)]


def model_of(functions, values, unknown=False):
    """Return a model of one input, with one output per function."""
    keras.utils.set_random_seed(0)
    shape = [None] * (values.ndim - 1) + [values.shape[-1]]
    if values.ndim == 1:
        shape = [None]
    elif not unknown:
        shape = [None, *values.shape[1:]]
    x = keras.Input(batch_shape=shape, dtype=values.dtype.name, name="x")
    applied = [_fresh(function)(x) for function in functions]
    return keras.Model(x, applied)


def _fresh(function):
    """Return a layer without the weights and shapes of another model."""
    if not isinstance(function, layers.Layer):
        return function
    if isinstance(function, layers.Lambda):
        return layers.Lambda(function.function)
    return function.from_config(function.get_config())


def matches(actual, expected):
    """Compare each value with its own size, in units of float32 rounding.

    19 were measured, for exp(87); what is replaced is off by 1,000 or more.
    Sums are compared with the size of what is added, which is about 1.
    """
    if expected.dtype.kind != "f":
        return bool(np.array_equal(actual, expected))
    floor = 0.0 if expected.ndim == 1 else 1.0
    tolerance = 100 * 2**-23 * np.maximum(np.abs(expected), floor)
    with np.errstate(invalid="ignore"):
        close = np.abs(actual - expected) <= tolerance + 1e-30
    same = (actual == expected) | (np.isnan(actual) & np.isnan(expected))
    return bool((same | close).all())


def failures(actual, expected):
    pairs = zip(actual, expected, strict=True)
    return [i for i, pair in enumerate(pairs) if not matches(*pair)]


@pytest.mark.parametrize("group", REPLACED)
def test_computes_what_the_live_model_computes(group, tmp_path):
    functions, values = REPLACED[group]
    actual, expected = outputs_of(functions, values, tmp_path / "model.tflite")
    assert failures(actual, expected) == []
    with np.errstate(over="ignore", invalid="ignore"):
        altered = [
            y + 1e-3 * (1 + np.abs(y)) if y.dtype.kind == "f" else ~y
            for y in expected
        ]
    assert failures(altered, expected) == list(range(len(functions)))


@pytest.mark.parametrize("group", ["volumes", "dilated", "slices"])
def test_sizes_may_be_unknown(group, tmp_path):
    functions, values = REPLACED[group]
    path = tmp_path / "model.tflite"
    actual, expected = outputs_of(functions, values, path, unknown=True)
    assert failures(actual, expected) == []


@pytest.mark.parametrize(
    ("group", "wrong"),
    [
        ("floats", range(4)),
        ("infinities", [-1]),
        ("zero_vectors", range(3)),
        ("equal_values", range(1)),
    ],
)
def test_plain_tflite_is_wrong(group, wrong, tmp_path, monkeypatch):
    functions, values = REPLACED[group]
    monkeypatch.setattr(export, "CONVERSIONS", {})
    functions = [functions[index] for index in wrong]
    actual, expected = outputs_of(functions, values, tmp_path / "model.tflite")
    assert failures(actual, expected) == list(range(len(wrong)))


def test_every_conversion_is_tested():
    tested = set()

    def observed(op_type):
        rewrite = CONVERSIONS[op_type]

        @functools.wraps(rewrite)
        def call(*inputs, **attributes):
            result = rewrite(*inputs, **attributes)
            if result is not None:
                tested.add(op_type)
            return result

        call.__kwdefaults__ = rewrite.__kwdefaults__
        return call

    with rewritten({op_type: observed(op_type) for op_type in CONVERSIONS}):
        for functions, values in REPLACED.values():
            model = model_of(functions, values)
            spec = tf.TensorSpec(model.input.shape, values.dtype)
            tf.function(model).get_concrete_function(spec)
    assert tested == set(CONVERSIONS)


def operations(function):
    """Return the types of the operations that a function is traced into."""
    traced = tf.function(function, autograph=False)
    graph = traced.get_concrete_function(tf.TensorSpec([2])).graph
    return {operation.type for operation in graph.get_operations()}


def test_only_what_is_traced_for_tflite_changes():
    with rewritten(CONVERSIONS):
        assert "Softplus" not in operations(tf.nn.softplus)
    assert "Softplus" in operations(tf.nn.softplus)


def test_layers_whose_variance_cannot_be_zero_are_left_as_they_are():
    with rewritten(CONVERSIONS):
        assert "SelectV2" not in operations(lambda x: tf.math.rsqrt(x + 1e-3))
        assert "SelectV2" in operations(lambda x: tf.math.rsqrt(x - 1e-3))
