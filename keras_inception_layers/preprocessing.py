"""What happens before and after a network that classifies ImageNet.

Images are scaled as in the training of the published weights, and predictions
are decoded to the names of classes.
"""

from collections.abc import Callable
from typing import Any, Literal

import keras
import numpy as np

from keras_inception_layers.graph import KerasModel

# The mode of `keras.applications` by which the images are scaled, per network
# and convention; that of the default convention is first. The hybrid has the
# mode of VGG16, from which it can take over weights.
MODES: dict[str, dict[str, str]] = {
    "VGG16": {"keras": "caffe"},
    "VGG16Inception": {"keras": "caffe"},
    "GoogLeNet": {"paper": "tf", "torchvision": "tf"},
    "InceptionV3": {"paper": "tf", "keras": "tf", "torchvision": "tf"},
    "InceptionV4": {"paper": "tf", "timm": "tf"},
    "InceptionResNetV2": {"paper": "tf", "keras": "tf", "timm": "tf"},
}
CLASSES = 1000


def preprocess_input(
    x: Any,
    network: str | Callable[..., Any] | KerasModel | None = None,
    convention: str | None = None,
    data_format: str | None = None,
    mode: Literal["tf", "torch", "caffe"] | None = None,
) -> Any:
    """Return images scaled as a network's published weights expect them.

    It does what the functions of this name in `keras.applications` do, but
    never writes into `x`, and accepts integer tensors too.

    Args:
        x: images with values from 0 to 255, in RGB: an array, a tensor, or a
            Keras tensor to preprocess within a model.
        network: the network: its function, its name, such as `"InceptionV3"`
            or `"inception_v3"`, or a model that has this name. Only needed
            without `mode`. Defaults to `None`.
        convention: the convention of the network. `None` means its default
            convention. Defaults to `None`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.
        mode: how to scale, instead of as the network's weights expect:
            `"tf"` to values from -1 to 1; `"torch"` to values from 0 to 1,
            normalized with ImageNet's mean and standard deviation per channel;
            `"caffe"` to BGR, minus ImageNet's mean per channel. Defaults to
            `None`.

    Returns:
        The scaled images, as an array or tensor like `x`, in floating point.

    Raises:
        ValueError: if the network, convention or mode is unknown, or if `x`
            does not have the three channels that `"torch"` and `"caffe"` need.

    Example:

    >>> images = np.array([0, 51, 255], "uint8").reshape(1, 1, 1, 3)
    >>> preprocess_input(images, InceptionV3, "torchvision").ravel()
    array([-1. , -0.6,  1. ], dtype=float32)
    """
    mode = mode or find_mode(network, convention)
    data_format = data_format or keras.config.image_data_format()
    if not hasattr(x, "shape") or isinstance(x, np.ndarray):
        x = np.array(x)
    elif not keras.backend.is_float_dtype(x.dtype):
        x = keras.ops.cast(x, keras.config.floatx())
    axis = -3 if data_format == "channels_first" else -1
    if mode != "tf" and (len(x.shape) < 3 or x.shape[axis] != 3):
        raise ValueError(
            f'The mode "{mode}" needs {data_format} images of three channels. '
            f"Received the shape {tuple(x.shape)}"
        )
    return keras.applications.imagenet_utils.preprocess_input(
        x, data_format, mode
    )


def find_mode(network: Any, convention: str | None) -> Any:
    """Return the mode of a network in `MODES`, or raise a ValueError."""
    name = getattr(network, "__name__", getattr(network, "name", network))
    names = {known.lower(): known for known in MODES}
    known = names.get(str(name).replace("_", "").lower())
    if known is None:
        raise ValueError(
            f"`network` must be one of {', '.join(MODES)}. Received: "
            f"network={network!r}. Pass the network's name, or a `mode`."
        )
    modes = MODES[known]
    if convention is None:
        return next(iter(modes.values()))
    if convention not in modes:
        raise ValueError(
            f"The convention of {known} must be one of {', '.join(modes)}. "
            f"Received: convention={convention!r}"
        )
    return modes[convention]


def decode_predictions(
    preds: Any, top: int = 5
) -> list[list[tuple[str, str, float]]]:
    """Return the names of the most probable classes of ImageNet.

    The published weights of every network and convention have the same 1000
    classes in the same order. Their names are downloaded once, by Keras.

    Args:
        preds: the predictions of a network, of the shape `(batch, 1000)`.
        top: number of classes per image. Defaults to `5`.

    Returns:
        Per image, a list of `(WordNet id, name, score)` from the highest score
        to the lowest.

    Raises:
        ValueError: if `preds` does not have that shape.

    Example:

    >>> decode_predictions(np.zeros((1, 10)))
    Traceback (most recent call last):
    ValueError: `preds` must be of the shape (batch, 1000)...
    """
    shape = getattr(preds, "shape", None)
    if shape is None or len(shape) != 2 or shape[1] != CLASSES:
        received = type(preds).__name__ if shape is None else tuple(shape)
        raise ValueError(
            f"`preds` must be of the shape (batch, {CLASSES}), as a network "
            "with the classes of ImageNet and without side heads predicts. "
            f"Received: {received}"
        )
    return keras.applications.imagenet_utils.decode_predictions(preds, top)
