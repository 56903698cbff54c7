"""Port the weights of `keras.applications`."""

from itertools import zip_longest

from keras_inception_layers.porting.leaves import check_model, leaves, shapes


def port_keras_applications_weights(source, target):
    """Copy the weights of a network of `keras.applications`.

    For every network that both have: `VGG16`, `InceptionV3` and
    `InceptionResNetV2`. `keras.applications` numbers its layers by what the
    process built before (`conv2d_37`), so layers are paired by their order:
    both graphs are traversed from input to output, one branch after the other
    in the order in which they are concatenated. Everything is checked before
    the first weight is copied.

    Args:
        source: a model of `keras.applications`.
        target: this package's model of the same network, with the same
            `include_top`, channels and `classes`, without side heads; height
            and width may differ if the top allows it.

    Returns:
        `target`.

    Raises:
        ValueError: if the two do not fit, with the first layer that does
            not, what was found there and what was expected. `target` is
            unchanged then.

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
    for place, (found, expected) in enumerate(pairs):
        if _form(found) != _form(expected):
            raise ValueError(
                f"`source` and `target` do not fit: layer {place} with "
                f"weights is {_text(found)} in `source` and "
                f"{_text(expected)} in `target`. Build both as the same "
                "network, with the same include_top, channels and classes; "
                "`target` without side heads and with the convention "
                '"paper" or "keras".'
            )
    for found, expected in pairs:
        expected.set_weights(found.get_weights())
    return target


def _form(layer):
    """Return what must agree: the class, the weights and the arguments."""
    if layer is None:
        return None
    arguments = ("strides", "epsilon")
    return (
        type(layer),
        shapes(layer),
        [getattr(layer, name, None) for name in arguments],
    )


def _text(layer):
    if layer is None:
        return "missing"
    return f'"{layer.path}", {type(layer).__name__} with {shapes(layer)},'
