"""Walk the layers of a model, at any depth, and freeze them for fine-tuning."""

from collections.abc import Iterator

import keras

from keras_inception_layers.graph import KerasModel, check_model
from keras_inception_layers.layers.composite import Composite


def iter_layers(
    layer: keras.layers.Layer,
) -> Iterator[tuple[str, keras.layers.Layer]]:
    """Iterate over every layer within a model or layer, at any depth.

    `model.layers` contains a block, but not the layers within it.

    Args:
        layer: a model or a layer.

    Returns:
        An iterator of pairs: the path of a layer, which consists of the names
        of the layers around it and its own, and the layer. A layer comes before
        the layers within it. One that is used in several places comes once.

    Example:

    >>> block = InceptionV1Block(((4,), (4, 8), (2, 4), (4,)))
    >>> [path for path, layer in iter_layers(block)][:3]
    ['branch_0_conv_0', 'branch_0_conv_0/conv', 'branch_0_conv_0/batch_norm']
    """
    return _walk(layer, "", set())


def _walk(layer, prefix, seen):
    for child in _children(layer):
        if id(child) not in seen:
            seen.add(id(child))
            path = f"{prefix}{child.name}"
            yield path, child
            yield from _walk(child, f"{path}/", seen)


def _children(layer):
    if isinstance(layer, (keras.Model, Composite)):
        return layer.layers
    return layer._flatten_layers(include_self=False, recursive=False)


def freeze(model: KerasModel, until: str | None = None) -> keras.Model:
    """Freeze the layers of a model that come before a layer, and no others.

    A frozen layer has no trainable weights, and a frozen batch normalization
    uses its moving statistics in training as well. The model must be compiled
    again afterwards.

    Args:
        model: the model, in which layers are frozen in place.
        until: name or path, as in `iter_layers`, of the first layer that is
            not frozen. It may be within a block. It and all later layers
            become trainable. Defaults to `None`, which freezes all layers.

    Returns:
        `model`.

    Raises:
        ValueError: if no layer, or more than one, has that name.

    Example:

    >>> base = InceptionV3(include_top=False, input_shape=(75, 75, 3))
    >>> base = freeze(base, until="mixed_8")
    >>> [layer.name for layer in base.layers if layer.trainable_weights]
    ['mixed_8', 'mixed_9', 'mixed_10']
    """
    check_model("model", model)
    last = None if until is None else _path(model, until)
    frozen = True
    model.trainable = last is not None
    for path, layer in iter_layers(model):
        frozen = frozen and path != last
        around = last is not None and last.startswith(f"{path}/")
        layer.trainable = around or not frozen
    return model


def _path(model, name):
    """Return the path of the only layer of that name or path."""
    paths = [path for path, _ in iter_layers(model)]
    if name in paths:
        return name
    found = [path for path in paths if path.endswith(f"/{name}")]
    if len(found) == 1:
        return found[0]
    problem = "has no layer"
    if found:
        problem = f"has {len(found)} layers ({found[0]}, {found[1]}, ...)"
    raise ValueError(
        f'The model "{model.name}" {problem} of the name or path "{name}". '
        "Expected one of those that `iter_layers` yields."
    )


def freeze_batch_norm(model: KerasModel) -> keras.Model:
    """Freeze every batch normalization of a model, at any depth.

    With small batches their statistics are too uncertain to train with. A
    frozen one uses its moving statistics in training as well.

    Args:
        model: the model, in which they are frozen in place.

    Returns:
        `model`.

    Example:

    >>> model = keras.Sequential([keras.Input((8, 8, 3)), ConvBN(4, 3)])
    >>> [x.name for x in freeze_batch_norm(model).trainable_weights]
    ['kernel']
    """
    check_model("model", model)
    for _, layer in iter_layers(model):
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
    return model
