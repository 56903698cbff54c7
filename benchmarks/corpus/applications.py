"""One small member of every family of `keras.applications`."""

from functools import partial

import keras

from .case import Case

WHOLE: dict = {"classifier_activation": None}
SIZED = WHOLE | {"input_shape": (224, 224, 3)}
CONVOLUTIONS = {
    "include_top": False,
    "pooling": "avg",
    "input_shape": (224, 224, 3),
}
"""Without the dense layers, of which Keras's own ONNX export makes so many
copies that they take 24 GB."""

MEMBERS = {
    "MobileNetV2": WHOLE,
    "MobileNetV3Small": SIZED,
    "MobileNet": WHOLE,
    "MobileNetV3Large": SIZED,
    "EfficientNetB0": WHOLE,
    "EfficientNetV2B0": WHOLE,
    "DenseNet121": WHOLE,
    "NASNetMobile": WHOLE,
    "InceptionV3": WHOLE,
    "Xception": WHOLE,
    "ResNet50": WHOLE,
    "ResNet50V2": WHOLE,
    "ConvNeXtTiny": WHOLE,
    "VGG16": CONVOLUTIONS,
    "VGG19": CONVOLUTIONS,
    "InceptionResNetV2": WHOLE,
}
"""For each name the arguments; quick ones first."""

REGIMES = ("normal", "from 0 to 1", "pixels")


def cases() -> list[Case]:
    """Return the networks at their default sizes, with random weights."""
    return [
        Case(
            name=name,
            row=name,
            text=f"{name}, {arguments}",
            build=partial(
                getattr(keras.applications, name), weights=None, **arguments
            ),
            regimes=REGIMES,
            deep=True,
        )
        for name, arguments in MEMBERS.items()
    ]
