"""Load the weights of the notebook's model into a `VGG16Inception`."""

from typing import Any

import keras

from keras_inception_layers.graph import KerasModel, check_model
from keras_inception_layers.layers.conv_bn import ConvBN
from keras_inception_layers.layers.inception_block import InceptionBlock
from keras_inception_layers.porting.leaves import shapes


def port_notebook_weights(
    source: KerasModel, target: KerasModel
) -> keras.Model:
    """Copy the weights of the notebook's model into a `VGG16Inception`.

    The notebook's network is one flat Functional model, with layers such as
    `block1_conv1_conv`, `Block_3_1_Branch_1_1_bn` and `fc1`. Everything is
    checked before the first weight is copied.

    Args:
        source: the model that the notebook's `VGG16_Inception` returns.
            Keras 3 requires unique layer names, so its pooling layers must be
            given some; any names will do, since they have no weights.
        target: a `VGG16Inception` with the same `include_top`,
            `input_shape` and `classes`, without side heads.

    Returns:
        `target`.

    Raises:
        ValueError: if the models do not match. The message names the first
            layer that differs, with what was found and what was expected.
            `target` is not changed.

    Example:

    >>> source = VGG16_Inception(  # the notebook's function
    ...     include_top=False, input_shape=(32, 32, 1)
    ... )
    >>> target = VGG16Inception(include_top=False, input_shape=(32, 32, 1))
    >>> port_notebook_weights(source, target).count_params()
    8442064
    """
    check_model("source", source)
    check_model("target", target)
    sources = {x.name: x for x in source.layers if x.weights}
    pairs = _pairs(target)
    _check_top(sources, pairs)
    for name, layer in pairs:
        _check_layer(name, sources.get(name), layer)
    _check_unexpected(sources, pairs)
    for name, layer in pairs:
        layer.set_weights(sources[name].get_weights())
    return target


def _pairs(target: Any) -> list[tuple[str, Any]]:
    """Return pairs of a layer name in `source` and the layer of `target`."""
    pairs = []
    for layer in target.layers:
        if isinstance(layer, ConvBN):
            pairs += _conv_bn(layer.name, layer)
        elif isinstance(layer, InceptionBlock):
            pairs += _block(layer.name.capitalize(), layer)
        elif isinstance(layer, keras.layers.Dense):
            pairs.append((layer.name, layer))
        elif layer.weights:
            raise ValueError(
                "`target` must be a `VGG16Inception` without side heads. "
                f'Received the layer "{layer.name}" of class '
                f"{type(layer).__name__}, which the notebook's model does not "
                "have."
            )
    return pairs


def _block(name: str, block: InceptionBlock) -> list[tuple[str, Any]]:
    pairs = []
    for number, branch in enumerate(block.branches):
        convs = [layer for layer in branch if isinstance(layer, ConvBN)]
        for index, conv in enumerate(convs):
            suffix = f"_{index}" if index else ""
            pairs += _conv_bn(f"{name}_Branch_{number}{suffix}", conv)
    return pairs


def _conv_bn(name: str, layer: ConvBN) -> list[tuple[str, Any]]:
    pairs = [(f"{name}_conv", layer.conv)]
    if layer.batch_norm is not None:
        pairs.append((f"{name}_bn", layer.batch_norm))
    return pairs


def _check_top(sources: dict[str, Any], pairs: list[tuple[str, Any]]) -> None:
    found, expected = "fc1" in sources, "fc1" in dict(pairs)
    if found != expected:
        raise ValueError(
            f'The layer "fc1" is in `{"source" if found else "target"}` '
            f"only: `source` was built with include_top={found}, `target` "
            f"with include_top={expected}. Build `target` with "
            f"include_top={found}."
        )


def _check_layer(name: str, found: Any, layer: Any) -> None:
    if found is None:
        raise ValueError(
            f'`source` has no layer "{name}" with weights. Expected the '
            "model of the notebook's `VGG16_Inception`, in which it has "
            f"{shapes(layer)}, for `{layer.path}` of `target`."
        )
    if shapes(found) != shapes(layer):
        raise ValueError(
            f'The weights of the layer "{name}" of `source` do not fit '
            f"`{layer.path}` of `target`. Found {shapes(found)}, expected "
            f"{shapes(layer)}. Build `target` with the input_shape and "
            "classes of `source`."
        )


def _check_unexpected(
    sources: dict[str, Any], pairs: list[tuple[str, Any]]
) -> None:
    expected = dict(pairs)
    for name, layer in sources.items():
        if name not in expected:
            raise ValueError(
                f'The layer "{name}" of `source`, with the weights '
                f"{shapes(layer)}, has no counterpart in `target`. Expected "
                "only the layers of the notebook's `VGG16_Inception`."
            )
