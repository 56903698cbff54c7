"""Register the layers with Keras, each under a fixed name."""

import keras

from keras_inception_layers.docstrings import complete

PACKAGE = "keras_inception_layers"
_LAYERS: dict[str, type[keras.layers.Layer]] = {}


def register(cls):
    """Register a layer class as `keras_inception_layers>CLASS_NAME`.

    The name is part of every saved `.keras` file, so it never changes. The
    docstring of the class is completed from those of its bases.

    Raises:
        ValueError: if another class already has the name.
    """
    holder = _LAYERS.get(cls.__name__)
    if holder is not None and holder.__module__ != cls.__module__:
        raise ValueError(
            f"`{PACKAGE}>{cls.__name__}` is already registered by "
            f"{holder.__module__}. Received a second class of that name from "
            f"{cls.__module__}. Rename one of the two."
        )
    _LAYERS[cls.__name__] = cls
    bases = cls.__mro__[1 : cls.__mro__.index(keras.layers.Layer)]
    complete(cls, *(base.__doc__ for base in bases))
    return keras.saving.register_keras_serializable(package=PACKAGE)(cls)


def registered_layers() -> dict[str, type[keras.layers.Layer]]:
    """Return every registered layer class by its class name."""
    return dict(_LAYERS)
