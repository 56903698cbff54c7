"""One small member of every family of `keras.applications`."""

from functools import partial

import keras

from .case import Case

MEMBERS = {
    "ConvNeXtTiny": 64,
    "DenseNet121": 64,
    "EfficientNetB0": 64,
    "EfficientNetV2B0": 64,
    "InceptionResNetV2": 75,
    "InceptionV3": 75,
    "MobileNet": 64,
    "MobileNetV2": 64,
    "MobileNetV3Large": 64,
    "MobileNetV3Small": 64,
    "NASNetMobile": 64,
    "ResNet50": 64,
    "ResNet50V2": 64,
    "VGG16": 64,
    "VGG19": 64,
    "Xception": 75,
}
"""The size of the images, which are smaller than the default for speed."""


def cases() -> list[Case]:
    """Return the networks with 10 classes and random weights."""
    return [
        Case(
            name=name,
            row=name,
            text=f"{name}, {size} x {size}",
            build=partial(
                getattr(keras.applications, name),
                weights=None,
                input_shape=(size, size, 3),
                classes=10,
                classifier_activation=None,
            ),
        )
        for name, size in MEMBERS.items()
    ]
