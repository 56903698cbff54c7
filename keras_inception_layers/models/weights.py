"""The weights that a network starts with: published ones, or those of a file.

A file may have been written by the same network of this package or of
`keras.applications`, whose published files are also accepted.
"""

import re
import warnings
from os import PathLike
from pathlib import Path

import keras

from keras_inception_layers.models.conventions import ORDER
from keras_inception_layers.porting.keras_applications import (
    port_keras_applications_weights,
)
from keras_inception_layers.side_heads import drop_auxiliary

# Height and width of a network of `keras.applications` from which weights are
# copied, if those of ours are unknown; all of them support it.
ANY_SIZE = 96


def is_imagenet(weights):
    """Return whether the published weights are requested."""
    return isinstance(weights, str) and weights == "imagenet"


def load_weights(model, weights, images, published):
    """Load the requested weights into a network.

    The function `published` returns the same network of `keras.applications`;
    it is None for one that has no weights to download.
    """
    if weights is None:
        return
    if published and is_imagenet(weights):
        source = published(weights="imagenet")
        port_keras_applications_weights(source, drop_auxiliary(model))
        return
    is_path = isinstance(weights, (str, PathLike))
    if not is_path or not Path(weights).is_file():
        known = 'None, "imagenet"' if published else "None"
        raise ValueError(
            f"`weights` must be {known} or the path of a `.weights.h5`, `.h5` "
            f"or `.keras` file. Received: weights={weights!r}, which is not "
            f"a file. {'' if is_path else ORDER}".rstrip()
        )
    origin = ", here or in `keras.applications`" if published else ""
    reasons = []
    for load in (_load_own, _load_published)[: 2 if published else 1]:
        try:
            # Keras warns of the layers that it then fails to load.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return load(model, str(weights), images, published)
        except Exception as error:  # h5py, zipfile and Keras raise many classes
            reasons.append(error)
    raise ValueError(
        f'weights="{weights}" could not be loaded into "{model.name}", which '
        f"reads images of {tuple(images.shape[1:])}: "
        f"{_first_sentence(reasons[-1])} Pass a file that the same network "
        f"wrote, built with the same arguments{origin}."
    ) from reasons[0]


def _load_own(model, path, images, published):
    model.load_weights(path)


def _load_published(model, path, images, published):
    shape = tuple(n or ANY_SIZE for n in images.shape[1:])
    source = published(weights=None, input_shape=shape)
    source.load_weights(path)
    port_keras_applications_weights(source, drop_auxiliary(model))


def _first_sentence(error):
    """Return the first sentence of Keras's message, which has many lines."""
    return re.split(r"\.\s", str(error).strip(), maxsplit=1)[0].strip(".") + "."


def check_imagenet(
    weights, images, conventions=None, convention=None, size=None
):
    """Raise ValueError if the published weights do not fit, before a download.

    They belong to the convention `"keras"` and those with the same batch
    normalization. `size` is the height and width of the images, if dense layers
    read every pixel.
    """
    if not is_imagenet(weights):
        return
    if conventions:
        keras_scale = conventions["keras"].scale
        fitting = [k for k, v in conventions.items() if v.scale == keras_scale]
        if convention not in fitting:
            names = " or ".join(f'"{name}"' for name in fitting)
            raise ValueError(
                f'`weights="imagenet"` needs the convention {names}. '
                f"Received: convention={convention!r}"
            )
    first = keras.config.image_data_format() == "channels_first"
    shape = tuple(images.shape[1:])
    channels, *sizes = shape if first else (shape[2], *shape[:2])
    if channels != 3 or (size and sizes != [size, size]):
        pixels = f" of {size} x {size} pixels" if size else ""
        raise ValueError(
            f'`weights="imagenet"` needs images{pixels} with three channels. '
            f"Received the input shape {shape}"
        )
