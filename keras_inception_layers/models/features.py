"""Feature maps of a network, by name or by level, for use as a backbone."""

from collections.abc import Sequence
from difflib import get_close_matches

import keras

from keras_inception_layers.graph import KerasModel, functional_graph
from keras_inception_layers.models import (
    googlenet,
    inception_resnet_v2,
    inception_v3,
    inception_v4,
    vgg16,
    vgg16_inception,
)

NETWORKS = (
    vgg16,
    vgg16_inception,
    googlenet,
    inception_v3,
    inception_v4,
    inception_resnet_v2,
)


def extract_features(
    model: KerasModel, layers: Sequence[str | int] | None = None
) -> keras.Model:
    """Return a model whose outputs are feature maps of a network.

    A level says how often height and width have been halved: feature maps of
    level 3 have 1/8 of them, rounded as the network's poolings round. Level 0
    is the full size. The layers of each level are in
    `docs/explanation/conventions.md`.

    Args:
        model: a network of this package, also one with side heads, loaded from
            a file, or with other layers after it. Its layers and weights are
            shared with the returned model, not copied. With names of layers,
            any Functional model.
        layers: names of layers, levels, or both. `None` means all levels of
            the network. Defaults to `None`.

    Returns:
        A Functional `keras.Model` with the same inputs. Its outputs are a
        dictionary; the key of a level is `"P3"` for level 3, and that of a
        layer is its name.

    Raises:
        ValueError: if the model has no such layer or level.

    Example:

    >>> model = VGG16(include_top=False, input_shape=(64, 64, 3))
    >>> features = extract_features(model, [4, 5, "block1_pool"]).output
    >>> {name: maps.shape for name, maps in features.items()}
    {'P4': (None, 4, 4, 512), 'P5': (None, 2, 2, 512), 'block1_pool': ...}
    """
    graph = functional_graph(model)
    if graph is None:
        raise ValueError(
            "`model` must be a Functional model, such as a network of this "
            f"package returns. Received: model={model!r}"
        )
    found = {layer.name: layer for layer in graph.layers}
    levels: dict[str | int, str] = {}
    for network in NETWORKS:
        if found.keys() >= set(network.LEVELS.values()):
            levels.update(network.LEVELS)
    outputs = {}
    for layer in levels if layers is None else layers:
        name = levels.get(layer, layer)
        if name not in found:
            known = ", ".join(map(str, levels)) or "none"
            close = get_close_matches(str(name), found, 1)
            hint = f' Did you mean "{close[0]}"?' if close else ""
            raise ValueError(
                f'"{model.name}" has no layer or level {layer!r}. Its levels '
                f"are: {known}.{hint}"
            )
        outputs[f"P{layer}" if layer in levels else name] = found[name].output
    if not outputs:
        raise ValueError(
            f'The levels of "{model.name}" are unknown, because it is not a '
            "network of this package. Pass the names of layers."
        )
    return keras.Model(graph.input, outputs, name=model.name)
