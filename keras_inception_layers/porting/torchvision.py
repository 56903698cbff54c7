"""The module names of GoogLeNet and Inception v3 in torchvision."""

from collections.abc import Iterator
from typing import Any

from keras_inception_layers.layers.auxiliary_classifier import (
    AuxiliaryClassifier,
    InceptionV3AuxiliaryClassifier,
    SideHead,
)
from keras_inception_layers.layers.inception_v1 import InceptionV1Block
from keras_inception_layers.layers.inception_v3_stages import (
    InceptionV3BlockA,
    InceptionV3BlockB,
    InceptionV3BlockC,
    InceptionV3BlockD,
    InceptionV3BlockE,
)
from keras_inception_layers.porting.leaves import units

# The module for each layer of a network.
NETWORKS = {
    "GoogLeNet": {
        **{f"conv_{i}": f"conv{i}" for i in (1, 2, 3)},
        **{
            f"inception_{number}": f"inception{number}"
            for number in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b")
        },
        "auxiliary_1": "aux1",
        "auxiliary_2": "aux2",
        "predictions": "fc",
    },
    "InceptionV3": {
        **{
            f"conv_{i}": f"Conv2d_{suffix}"
            for i, suffix in enumerate(
                ("1a_3x3", "2a_3x3", "2b_3x3", "3b_1x1", "4a_3x3")
            )
        },
        **{
            f"mixed_{i}": f"Mixed_{suffix}"
            for i, suffix in enumerate(
                "5b 5c 5d 6a 6b 6c 6d 6e 7a 7b 7c".split()
            )
        },
        "auxiliary": "AuxLogits",
        "predictions": "fc",
    },
}
# The modules of the convolutions and dense layers of a block, in order.
UNITS: dict[type, tuple[str, ...]] = {
    InceptionV1Block: (
        "branch1",
        *(f"branch{i}.{j}" for i in (2, 3) for j in (0, 1)),
        "branch4.1",
    ),
    AuxiliaryClassifier: ("conv", "fc1", "fc2"),
    InceptionV3BlockA: (
        "branch1x1",
        *(f"branch5x5_{i}" for i in (1, 2)),
        *(f"branch3x3dbl_{i}" for i in (1, 2, 3)),
        "branch_pool",
    ),
    InceptionV3BlockB: (
        "branch3x3",
        *(f"branch3x3dbl_{i}" for i in (1, 2, 3)),
    ),
    InceptionV3BlockC: (
        "branch1x1",
        *(f"branch7x7_{i}" for i in (1, 2, 3)),
        *(f"branch7x7dbl_{i}" for i in (1, 2, 3, 4, 5)),
        "branch_pool",
    ),
    InceptionV3BlockD: (
        *(f"branch3x3_{i}" for i in (1, 2)),
        *(f"branch7x7x3_{i}" for i in (1, 2, 3, 4)),
    ),
    InceptionV3BlockE: (
        "branch1x1",
        *(f"branch3x3_{i}" for i in ("1", "2a", "2b")),
        *(f"branch3x3dbl_{i}" for i in ("1", "2", "3a", "3b")),
        "branch_pool",
    ),
    InceptionV3AuxiliaryClassifier: ("conv0", "conv1", "fc"),
}


def modules(target: Any) -> list[tuple[str, Any]] | None:
    """Return pairs of a module name and a layer, or None for other networks."""
    names = _module_names(target)
    if names is None:
        return None
    return [
        module
        for layer in target.layers
        if layer.weights
        for module in _named_units(names[layer.name], layer)
    ]


def dropped_modules(target: Any) -> tuple[str, ...]:
    """Return the modules of side heads, which torchvision's weights include."""
    if any(isinstance(layer, SideHead) for layer in target.layers):
        return ()
    names = _module_names(target) or {}
    return tuple(x for name, x in names.items() if name.startswith("auxiliary"))


def _module_names(target: Any) -> dict[str, str] | None:
    layers = {layer.name for layer in target.layers if layer.weights}
    return next((x for x in NETWORKS.values() if layers <= x.keys()), None)


def _named_units(name: str, layer: Any) -> Iterator[tuple[str, Any]]:
    """Yield the names, and the convolutions and dense layers, of a layer."""
    if type(layer) not in UNITS:
        yield name, layer
        return
    for suffix, unit in zip(UNITS[type(layer)], units(layer), strict=True):
        yield f"{name}.{suffix}", unit
