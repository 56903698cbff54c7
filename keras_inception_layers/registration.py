"""Registration of the layers with Keras, each under one fixed name."""

import keras

PACKAGE = "keras_inception_layers"
_LAYERS: dict[str, type[keras.layers.Layer]] = {}


def register(cls):
    """Register a layer class as `keras_inception_layers>CLASS_NAME`.

    The name is written to every saved `.keras` file, so it must never change.

    Raises:
        ValueError: if another class is already registered under the name.
    """
    registered = _LAYERS.get(cls.__name__)
    if registered is not None and registered.__module__ != cls.__module__:
        raise ValueError(
            f"`{PACKAGE}>{cls.__name__}` is already registered by "
            f"{registered.__module__}. Received a second class of that name "
            f"from {cls.__module__}. Rename one of the two."
        )
    _LAYERS[cls.__name__] = cls
    return keras.saving.register_keras_serializable(package=PACKAGE)(cls)


def registered_layers() -> dict[str, type[keras.layers.Layer]]:
    """Return every registered layer class by its class name."""
    return dict(_LAYERS)
