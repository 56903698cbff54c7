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
    _check_top("fc1" in sources, "fc1" in pairs)
    for name, layer in pairs.items():
        found = sources.get(name)
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
    for name, layer in sources.items():
        if name not in pairs:
            raise ValueError(
                f'The layer "{name}" of `source`, with the weights '
                f"{shapes(layer)}, has no counterpart in `target`. Expected "
                "only the layers of the notebook's `VGG16_Inception`."
            )
    for name, layer in pairs.items():
        layer.set_weights(sources[name].get_weights())
    return target


def _check_top(found: bool, expected: bool) -> None:
    if found != expected:
        raise ValueError(
            f'The layer "fc1" is in `{"source" if found else "target"}` '
            f"only: `source` was built with include_top={found}, `target` "
            f"with include_top={expected}. Build `target` with "
            f"include_top={found}."
        )


def _pairs(target: Any) -> dict[str, Any]:
    """Return the layers of `target` by their name in `source`."""
    pairs: dict[str, Any] = {}
    for layer in target.layers:
        if isinstance(layer, ConvBN):
            pairs |= _conv_bn(layer.name, layer)
        elif isinstance(layer, InceptionBlock):
            for number, branch in enumerate(layer.branches):
                convs = [x for x in branch if isinstance(x, ConvBN)]
                for index, conv in enumerate(convs):
                    name = f"{layer.name.capitalize()}_Branch_{number}"
                    pairs |= _conv_bn(
                        f"{name}_{index}" if index else name, conv
                    )
        elif isinstance(layer, keras.layers.Dense):
            pairs[layer.name] = layer
        elif layer.weights:
            raise ValueError(
                "`target` must be a `VGG16Inception` without side heads. "
                f'Received the layer "{layer.name}" of class '
                f"{type(layer).__name__}, which the notebook's model does not "
                "have."
            )
    return pairs


def _conv_bn(name: str, layer: ConvBN) -> dict[str, Any]:
    parts = {f"{name}_conv": layer.conv, f"{name}_bn": layer.batch_norm}
    return {key: part for key, part in parts.items() if part is not None}
