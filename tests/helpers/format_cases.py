"""Small models for the tests of every format, and their expected outputs."""

import keras
import numpy as np
from keras import layers

from keras_inception_export.model.inference_model import InferenceModel
from keras_inception_layers import InceptionV1Block
from tests.helpers.numeric import randomize


def _settle(model):
    """Give biases values large enough to matter."""
    rng = np.random.default_rng(7)
    for weight in model.weights:
        if weight.name == "bias":
            weight.assign(rng.uniform(-0.5, 0.5, weight.shape))
    return model


def convolutions():
    image = layers.Input((12, 12, 2), name="image")
    x = layers.Conv2D(6, 3, padding="same", activation="relu")(image)
    pooled = layers.MaxPooling2D(3, strides=1, padding="same")(x)
    joined = layers.Concatenate()([x, layers.Conv2D(4, 1)(pooled)])
    x = layers.GlobalAveragePooling2D()(joined)
    return keras.Model(image, layers.Dense(5, name="scores")(x))


def any_order():
    """Inputs and outputs whose declared order is not any sorted order."""
    inputs = [layers.Input((3,), name=name) for name in ("m", "z", "a")]
    outputs = [
        layers.Dense(size, name=name)(layers.Concatenate()(inputs[:size]))
        for size, name in ((2, "q"), (3, "b"), (1, "y"), (3, "k"))
    ]
    return keras.Model(inputs, outputs)


def dictionaries():
    inputs = {name: layers.Input((4,), name=name) for name in ("left", "down")}
    both = layers.Add()([inputs["left"], layers.Dense(4)(inputs["down"])])
    return keras.Model(inputs, {"sum": both, "half": both / 2})


def any_size():
    image = layers.Input((None, None, 3), name="image")
    x = layers.Conv2D(4, 3, strides=2, padding="same")(image)
    return keras.Model(image, layers.GlobalMaxPooling2D(name="most")(x))


def recurrent():
    steps = layers.Input(batch_shape=(3, 5, 4), name="steps")
    x = layers.Bidirectional(layers.LSTM(3, return_sequences=True))(steps)
    last = layers.GRU(2, name="last")(x)
    return keras.Model(steps, [last, layers.Dense(3, name="all")(x)])


def embedding():
    tokens = layers.Input((6,), dtype="int32", name="tokens")
    x = layers.Embedding(10, 4)(tokens)
    return keras.Model(tokens, layers.Dense(3, name="tags")(x))


def normalization():
    image = layers.Input((4, 4, 3), name="image")
    adapted = layers.Normalization()
    adapted.adapt(np.random.default_rng(5).normal(3, 2, (20, 4, 4, 3)))
    x = layers.Normalization(mean=[1.0, 2.0, 3.0], variance=[4.0, 5.0, 6.0])(
        adapted(image)
    )
    return keras.Model(image, layers.Conv2D(2, 3, name="map")(x))


def tied_dense():
    """One kernel of 1.4 MB, used twice; converters never see its values."""
    vector = layers.Input((600,), name="vector")
    dense = layers.Dense(600, activation="tanh")
    return keras.Model(
        vector, layers.Dense(4, name="out")(dense(dense(vector)))
    )


CASES = {
    case.__name__: case
    for case in (
        convolutions,
        any_order,
        dictionaries,
        any_size,
        recurrent,
        embedding,
        normalization,
        tied_dense,
    )
}


def inference_model_of(case):
    """Return a case as an inference model."""
    keras.utils.set_random_seed(3)
    return InferenceModel.of(_settle(case()))


def feeds_of(inference_model, batch):
    """Return random inputs; unknown axes other than the batch become 9."""
    rng = np.random.default_rng(batch)
    feeds = {}
    for spec in inference_model.inputs:
        first, *others = spec.shape
        shape = (first or batch, *(size or 9 for size in others))
        values = rng.integers(0, 9, shape) if "int" in spec.dtype else None
        if values is None:
            values = rng.uniform(0, 1, shape)
        feeds[spec.name] = values.astype(spec.dtype)
    return feeds


def keras_outputs(inference_model, feeds):
    """Return the outputs of the inference model in Keras, by output name."""
    outputs = inference_model.call(
        *(feeds[spec.name] for spec in inference_model.inputs)
    )
    names = [spec.name for spec in inference_model.outputs]
    return dict(zip(names, map(np.asarray, outputs), strict=True))


def largest_error(actual, expected):
    """Return the largest error, relative to the largest value of an output."""
    return max(
        np.max(np.abs(actual[name] - expected[name]))
        / np.max(np.abs(expected[name]))
        for name in expected
    )


def perturb(inference_model):
    """Change the weights a little, so that artifacts differ from the model."""
    for weight in inference_model.model.trainable_weights:
        weight.assign(weight * 1.001)


def check_artifact(runner, inference_model, tolerance):
    """Assert that an artifact computes what Keras computes, and only that."""
    assert runner.inputs == inference_model.inputs
    for batch in (1, 3):
        feeds = feeds_of(inference_model, batch)
        outputs = runner.run(feeds)
        expected = keras_outputs(inference_model, feeds)
        assert list(outputs) == list(expected)
        assert largest_error(outputs, expected) <= tolerance
    perturb(inference_model)
    expected = keras_outputs(inference_model, feeds)
    assert largest_error(outputs, expected) > tolerance


def named_by_hand():
    first, second = keras.Input((3,), name="z"), keras.Input((4,), name="b")
    y = layers.Dense(2, name="y")(layers.Concatenate()([first, second]))
    return keras.Model([first, second], [y, layers.Dense(3, name="a")(y)])


def named_by_keras():
    first, second = keras.Input((3,)), keras.Input((4,))
    y = layers.Dense(2)(layers.Concatenate()([first, second]))
    return keras.Model([first, second], [layers.Dense(3)(y), y])


def named_by_keys():
    inputs = {"z": keras.Input((3,)), "b": keras.Input((4,), name="c")}
    y = layers.Dense(2)(layers.Concatenate()(list(inputs.values())))
    return keras.Model(inputs, {"y": y, "a": layers.Dense(3, name="d")(y)})


def constant_model():
    """Return `small_model` with zero weights: its output is constant."""
    model = small_model()
    for weight in model.weights:
        weight.assign(np.zeros(weight.shape))
    return model


def small_model(**kwargs):
    """Return a classifier of one block, to export from end to end."""
    model = keras.Sequential(
        [
            keras.Input((12, 12, 3), name="image"),
            InceptionV1Block(((4,), (3, 5), (2, 4), (3,)), **kwargs),
            layers.GlobalAveragePooling2D(),
            layers.Dense(4, activation="softmax", name="kind"),
        ],
        name="small",
    )
    return randomize(model)
