"""A model that takes pixels computes what the preprocessing and it compute."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_inception_export.data.domain import Domain
from keras_inception_export.data.preprocessing import PRESETS, Preprocessing
from keras_inception_export.model.channel_search import measure_coverage
from keras_inception_export.model.inference_model import to_inference_model
from keras_inception_export.model.pixels import (
    Pixels,
    fold_pixels,
    of_pixels,
    search_pixels,
    with_pixels,
    with_real_pixels,
)
from keras_inception_layers import ConvBN
from tests.helpers.numeric import randomize

CHANNELS_FIRST = "channels_first"
VALID = {
    "convolution": lambda: layers.Conv2D(4, 3),
    "strides": lambda: layers.Conv2D(4, (3, 2), strides=2, activation="relu"),
    "batch norm": lambda: ConvBN(4, 3, padding="valid"),
    "LoRA": lambda: layers.Conv2D(4, 3, lora_rank=2),
}
PADDED = {
    "same": lambda: layers.Conv2D(4, 3, padding="same"),
    "padding of 1": lambda: ConvBN(4, 3, padding=1),
    "no bias": lambda: layers.Conv2D(4, 3, use_bias=False),
}
NOT_FOLDED = {
    "dense": lambda: layers.Dense(4),
    "depthwise": lambda: layers.DepthwiseConv2D(3),
    "groups": lambda: layers.Conv2D(6, 3, groups=3),
    "padding layer": lambda: layers.ZeroPadding2D(),
    "nested": lambda: keras.Sequential([layers.Conv2D(4, 3)]),
}
CASES = VALID | PADDED | NOT_FOLDED
PIXELS = np.random.default_rng(0).integers(0, 256, (2, 9, 10, 3), "uint8")


def made_for(model, preset):
    image = to_inference_model(model).inputs[0]
    return PRESETS[preset].fitted(image)


def check(model, made, pixels=PIXELS):
    """Compare all variants; return the layer of the folded one."""
    expected = np.asarray(model(made.normalize(pixels)))
    changed = with_pixels(model, {"image": made})
    inference = to_inference_model(changed)
    fold_pixels(inference.model)
    assert inference.inputs[0].dtype == "uint8"
    real = with_real_pixels(inference)
    assert real.inputs[0].dtype == "float32" and real.pixels == ("image",)
    for variant, feed in (
        (changed, pixels),
        (lambda x: inference.call(x)[0], pixels),
        (lambda x: inference.copy().call(x)[0], pixels),
        (lambda x: real.call(x)[0], pixels.astype("float32")),
    ):
        found = np.asarray(variant(feed))
        scale = np.abs(expected).max()
        np.testing.assert_allclose(found, expected, atol=3e-6 * scale)
    (layer,) = [x for x in inference.model.layers if isinstance(x, Pixels)]
    return layer


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("case", CASES)
def test_what_is_folded(case, preset):
    image = keras.Input((9, 10, 3), name="image")
    model = randomize(keras.Model(image, CASES[case]()(image)))
    layer = check(model, made_for(model, preset))
    if case in NOT_FOLDED:
        assert layer.reverse == (preset == "caffe")
        assert layer.factor != [1] * 3 or preset in ("none", "caffe")
        return
    assert layer.factor == [1] * 3 and not layer.reverse
    centred = preset not in ("none", "unit")
    assert any(layer.offset) == (centred and case in PADDED)


def test_two_readers_are_not_folded():
    image = keras.Input((9, 10, 3), name="image")
    both = [layers.Conv2D(4, 3)(image) for _ in range(2)]
    model = randomize(keras.Model(image, layers.Add()(both)))
    assert check(model, made_for(model, "tf")).factor != [1] * 3


def test_an_input_that_is_an_output_is_not_folded():
    image = keras.Input((9, 10, 3), name="image")
    model = keras.Model(image, [layers.Conv2D(4, 3)(image), image])
    changed = with_pixels(model, {"image": made_for(model, "caffe")})
    fold_pixels(changed)
    _, same = changed(np.zeros((1, 9, 10, 3), "uint8"))
    np.testing.assert_allclose(same[0, 0, 0], [-103.939, -116.779, -123.68])


def test_gray_and_channels_first():
    image = keras.Input((9, 10, 1), name="image")
    model = randomize(keras.Model(image, layers.Conv2D(4, 3)(image)))
    made = Preprocessing(color="grey", scale=-1 / 255, mean=(-1.0,))
    assert not any(check(model, made, PIXELS[..., :1]).offset)
    image = keras.Input((3, 9, 10), name="image")
    x = layers.GlobalAveragePooling2D(data_format=CHANNELS_FIRST)(image)
    model = randomize(keras.Model(image, layers.Dense(2)(x)))
    made = made_for(model, "torch")
    assert made.data_format == CHANNELS_FIRST
    assert check(model, made).channels_first
    assert of_pixels(made) == Preprocessing((9, 10), dtype="uint8")


@pytest.mark.parametrize("filters, folded", [(7, True), (8, False)])
def test_a_bias_that_is_added_to_the_columns_is_kept(filters, folded):
    image = keras.Input((3, 9, 10), name="image")
    conv = layers.Conv2D(filters, 3, data_format=CHANNELS_FIRST)
    model = randomize(keras.Model(image, conv(image)))
    assert any(check(model, made_for(model, "tf")).offset) != folded


def test_structures_and_names_are_kept():
    inputs = {x: keras.Input((8, 8, 3), name=x) for x in ("left", "image")}
    both = layers.Concatenate(name="both")(list(inputs.values()))
    outputs = {"sum": layers.GlobalAveragePooling2D(name="mean")(both)}
    model = keras.Model(inputs, outputs, name="pair")
    changed = with_pixels(model, {"image": made_for(model, "tf")})
    assert {x: t.dtype for x, t in changed.input.items()} == {
        "left": "float32",
        "image": "uint8",
    }
    assert list(changed.output) == ["sum"] and changed.name == "pair"
    assert changed.get_layer("both") is model.get_layer("both")


def test_the_search_ascends_on_pixels():
    """A pattern that random pixels do not contain is found."""
    image = keras.Input((12, 12, 3), name="image")
    conv = layers.Conv2D(8, 3, activation="relu")
    x = layers.GlobalMaxPooling2D()(conv(image))
    model = keras.Model(image, layers.Dense(4)(x))
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (3, 3, 3, 8))
    conv.set_weights([signs, -0.85 * np.maximum(signs, 0).sum(axis=(0, 1, 2))])
    changed = with_pixels(model, {"image": made_for(model, "unit")})
    inference = to_inference_model(changed)
    domains = {"image": Domain(high=np.array(255.0), integers=True)}
    feeds = [{"image": np.tile(PIXELS, (2, 2, 2, 1))[:, :12, :12]}]
    found = search_pixels(inference, feeds, domains)
    assert {array.dtype.name for feed in found for array in feed.values()} == {
        "uint8"
    }
    before, after = (
        measure_coverage(inference, x).layers[0].moved
        for x in (feeds, [*feeds, *found])
    )
    assert before < 4 and after > before
