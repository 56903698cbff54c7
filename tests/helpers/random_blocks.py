"""Random tables of branches, as a block and as plain Keras layers.

A table is data, drawn by hypothesis: `(filters, kernel_size, options)` per
`ConvBN`, or the name of a layer.
"""

import keras
from hypothesis import strategies as st
from keras import layers

from keras_inception_layers import ConvBN, InceptionBlock
from tests.helpers.numeric import randomize, to_array

POLICIES = ("float32", "float64", "mixed_bfloat16", "mixed_float16")


@st.composite
def convolutions(draw):
    """Draw the arguments of a `ConvBN` that keeps the size."""
    size = st.sampled_from((1, 2, 3, 5, (1, 3), (3, 1), (7, 1)))
    return {
        "filters": draw(st.integers(1, 4)),
        "kernel_size": draw(size),
        "activation": draw(
            st.sampled_from(("relu", "tanh", "swish", "elu", None))
        ),
        "use_batch_norm": draw(st.booleans()),
        "scale": draw(st.booleans()),
        "epsilon": draw(st.sampled_from((1e-3, 1e-5))),
    }


POOLS = st.sampled_from((layers.MaxPooling2D, layers.AveragePooling2D))
CELLS = st.one_of(
    st.tuples(st.just("conv"), convolutions()),
    st.tuples(st.just("pool"), POOLS),
    st.tuples(
        st.just("nested"), st.lists(convolutions(), min_size=1, max_size=2)
    ),
)


@st.composite
def tables(draw):
    """Draw branches, each of which ends in a layer with the same strides."""
    return {
        "branches": draw(
            st.lists(
                st.lists(CELLS, min_size=0, max_size=2), min_size=1, max_size=3
            )
        ),
        "strides": draw(st.sampled_from((1, 2))),
        "data_format": draw(
            st.sampled_from(("channels_last", "channels_first"))
        ),
        "size": (draw(st.integers(5, 9)), draw(st.integers(5, 9))),
        "channels": draw(st.integers(1, 3)),
    }


def block_of(table, dtype="float32"):
    """Return the `InceptionBlock` of a table."""
    return InceptionBlock(
        _branches(table, dtype),
        data_format=table["data_format"],
        dtype=dtype,
        name="block",
    )


def _branches(table, dtype):
    options = {"data_format": table["data_format"], "dtype": dtype}

    def layer(kind, what):
        if kind == "conv":
            return ConvBN(**what, **options)
        if kind == "pool":
            return what(3, 1, "same", **options)
        nested = [[ConvBN(**x, **options)] for x in what]
        return InceptionBlock(nested, **options)

    return [
        [
            *(layer(*cell) for cell in branch),
            ConvBN(2, 3, strides=table["strides"], **options),
        ]
        for branch in table["branches"]
    ]


def image_shape(table):
    """Return the shape of one image."""
    if table["data_format"] == "channels_first":
        return (table["channels"], *table["size"])
    return (*table["size"], table["channels"])


def equal_models(table):
    """Return a model of the block of a table and a plain one, equal weights.

    Returns:
        Both models, and the plain one's weights in the order of the first's.
    """
    image = keras.Input(image_shape(table))
    model = keras.Model(image, block_of(table)(image))
    plain, weights = plain_model(table)
    randomize(plain)
    for weight, expected in zip(model.weights, weights, strict=True):
        weight.assign(to_array(expected))
    return model, plain, weights


def plain_model(table):
    """Return a Functional model of Keras's own layers that computes a table.

    Returns:
        The model, and its weights in the order of the table.
    """
    first = table["data_format"] == "channels_first"
    options = {"data_format": table["data_format"]}
    axis = 1 if first else -1
    weighted = []

    def convolve(x, filters, kernel_size, strides=1, **given):
        normalized = given.get("use_batch_norm", True)
        steps = [
            layers.Conv2D(
                *(filters, kernel_size, strides, "same"),
                use_bias=not normalized,
                **options,
            )
        ]
        if normalized:
            scale, epsilon = given.get("scale", False), given.get("epsilon")
            steps.append(
                layers.BatchNormalization(
                    axis, scale=scale, epsilon=epsilon or 1e-3
                )
            )
        for step in steps:
            x = step(x)
        weighted.extend(steps)
        return layers.Activation(given.get("activation", "relu"))(x)

    def join(parts):
        return layers.Concatenate(axis)(parts) if len(parts) > 1 else parts[0]

    def cell(x, kind, what):
        if kind == "conv":
            return convolve(x, **what)
        if kind == "pool":
            return what(3, 1, "same", **options)(x)
        return join([convolve(x, **y) for y in what])

    image = keras.Input(image_shape(table))
    outputs = []
    for branch in table["branches"]:
        x = image
        for kind, what in branch:
            x = cell(x, kind, what)
        outputs.append(convolve(x, 2, 3, table["strides"]))
    model = keras.Model(image, join(outputs))
    return model, [x for layer in weighted for x in layer.weights]
