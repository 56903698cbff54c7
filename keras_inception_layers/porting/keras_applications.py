"""Load the weights of the networks of `keras.applications`."""

from itertools import zip_longest

from keras_inception_layers.porting.leaves import check_model, leaves, shapes


def port_keras_applications_weights(source, target):
    """Copy the weights of a network of `keras.applications` into `target`.

    It supports the networks that are in both packages: `VGG16`, `InceptionV3`
    and `InceptionResNetV2`. The layer names of `keras.applications` depend on
    what the process has built before (`conv2d_37`), so layers are matched by
    their order: both graphs are traversed from input to output, one branch
    after the other in the order in which they are concatenated. Everything is
    checked before the first weight is copied.

    Args:
        source: a model of `keras.applications`.
        target: the same network of this package, with the same `include_top`,
            channels and `classes`, without side heads. Height and width may
            differ if the top allows it.

    Returns:
        `target`.

    Raises:
        ValueError: if the models do not match. The message names the first
            layer that differs, with what was found and what was expected.
            `target` is not changed.

    Example:

    >>> options = {"include_top": False, "input_shape": (32, 32, 3)}
    >>> source = keras.applications.VGG16(weights=None, **options)
    >>> target = VGG16(**options)
    >>> port_keras_applications_weights(source, target).count_params()
    14714688
    """
    check_model("source", source)
    check_model("target", target)
    pairs = list(zip_longest(leaves(source), leaves(target)))
    for index, (found, expected) in enumerate(pairs):
        if _signature(found) != _signature(expected):
            raise ValueError(
                f"`source` and `target` do not match: layer {index} with "
                f"weights is {_describe(found)} in `source` and "
                f"{_describe(expected)} in `target`. Build both as the same "
                "network, with the same include_top, channels and classes, "
                "and `target` without side heads and with the convention "
                '"paper" or "keras".'
            )
    for found, expected in pairs:
        expected.set_weights(found.get_weights())
    return target


def _signature(layer):
    """Return what must be equal: class, weights and arguments of a layer."""
    if layer is None:
        return None
    arguments = {
        name: getattr(layer, name)
        for name in ("strides", "epsilon")
        if hasattr(layer, name)
    }
    return type(layer), shapes(layer), arguments


def _describe(layer):
    if layer is None:
        return "missing"
    kind, weights, arguments = _signature(layer)
    described = {**weights, **arguments}
    return f'"{layer.path}", {kind.__name__} with {described},'
