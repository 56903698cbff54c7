"""The side heads of each network: what they read, training, inference."""

import keras
import numpy as np
import pytest

from keras_inception_layers import (
    AUXILIARY_LOSS_WEIGHT,
    GoogLeNet,
    InceptionV3,
    VGG16Inception,
    drop_auxiliary,
)
from tests.helpers.numeric import (
    ONE_STEP,
    random_images,
    randomize,
    relative_error,
    to_array,
)

# The network, the size of its images, the layer that each side head reads, and
# other layers that must train.
NETWORKS = {
    "VGG16Inception": (
        *(VGG16Inception, 80),
        {"auxiliary_1": "block3_pool", "auxiliary_2": "block4_pool"},
        ("block1_conv1", "fc1"),
    ),
    "GoogLeNet": (
        *(GoogLeNet, 80),
        {"auxiliary_1": "inception_4a", "auxiliary_2": "inception_4d"},
        ("conv_1", "inception_5b"),
    ),
    "InceptionV3": (
        *(InceptionV3, 299),
        {"auxiliary": "mixed_7"},
        ("conv_0", "mixed_7", "mixed_10"),
    ),
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("VGG16Inception", marks=pytest.mark.one_backend),
        pytest.param("GoogLeNet", marks=pytest.mark.slow),
        pytest.param("InceptionV3", marks=pytest.mark.slow),
    ],
)
def test_side_heads_train_and_are_dropped(name):
    network, size, heads, others = NETWORKS[name]
    options = {"input_shape": (size, size, 1), "classes": 3}
    model = randomize(network(**options, auxiliary=True))
    shapes = {name: x.shape for name, x in model.output.items()}
    assert shapes == dict.fromkeys(("predictions", *heads), (None, 3))
    for head, source in heads.items():
        assert model.get_layer(head).input is model.get_layer(source).output

    images = random_images((2, size, size, 1))
    expected = model(images)["predictions"]
    dropped = drop_auxiliary(model)
    assert dropped.output_shape == (None, 3)
    assert relative_error(dropped(images), expected) == 0
    plain = network(**options)
    plain.set_weights(dropped.get_weights())
    assert relative_error(plain(images), expected) == 0
    assert drop_auxiliary(plain) is plain

    model.compile(
        keras.optimizers.SGD(1e-3),
        dict.fromkeys(shapes, "sparse_categorical_crossentropy"),
        loss_weights={
            "predictions": 1.0,
            **dict.fromkeys(heads, AUXILIARY_LOSS_WEIGHT),
        },
        **ONE_STEP,
    )
    labels = dict.fromkeys(shapes, np.array([0, 2]))
    losses = model.test_on_batch(images, labels, return_dict=True)
    side_losses = sum(losses[f"{head}_loss"] for head in heads)
    assert losses["loss"] == pytest.approx(
        losses["predictions_loss"] + 0.3 * side_losses, rel=1e-5
    )
    weights = [
        model.get_layer(x).trainable_weights[0] for x in (*others, *heads)
    ]
    before = [to_array(weight) for weight in weights]
    model.train_on_batch(images, labels)
    for weight, value in zip(weights, before, strict=True):
        assert np.any(to_array(weight) != value), weight.path
