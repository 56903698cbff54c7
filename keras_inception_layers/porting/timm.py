"""The module names of Inception v4 and Inception-ResNet v2 in timm."""

from collections.abc import Iterator
from typing import Any

import keras

from keras_inception_layers.layers.conv_bn import ConvBN
from keras_inception_layers.layers.inception_block import InceptionBlock
from keras_inception_layers.layers.inception_v4 import (
    InceptionV4BlockC,
    InceptionV4Stem,
)
from keras_inception_layers.layers.residual_block import ResidualBlock
from keras_inception_layers.porting.leaves import units

# timm's module for each residual block of Inception-ResNet v2.
MODULES = {
    **{f"block35_{n + 1}": f"repeat.{n}" for n in range(10)},
    **{f"block17_{n + 1}": f"repeat_1.{n}" for n in range(20)},
    **{f"block8_{n + 1}": f"repeat_2.{n}" for n in range(9)},
    "block8_10": "block8",
}
# The convolutions, in order, of the Inception v4 blocks whose names in timm
# follow no rule.
STEM = (
    *("features.0", "features.1", "features.2", "features.3.conv"),
    *(f"features.4.branch0.{n}" for n in range(2)),
    *(f"features.4.branch1.{n}" for n in range(4)),
    "features.5.conv",
)
BLOCK_C = (
    "branch0",
    *(f"branch1_{n}" for n in ("0", "1a", "1b")),
    *(f"branch2_{n}" for n in ("0", "1", "2", "3a", "3b")),
    "branch3.1",
)
# Number of the first of timm's features after the stem.
AFTER_STEM = 6


def modules(target: Any) -> Iterator[tuple[str, Any]] | None:
    """Return pairs of a module name and a layer, or None for other networks."""
    if any(isinstance(x, InceptionV4Stem) for x in target.layers):
        return _inception_v4(target)
    if any(isinstance(x, ResidualBlock) for x in target.layers):
        return _inception_resnet_v2(target)
    return None


def _inception_v4(target: Any) -> Iterator[tuple[str, Any]]:
    blocks = [x for x in target.layers if isinstance(x, InceptionBlock)]
    for number, block in enumerate(blocks, start=AFTER_STEM - 1):
        prefix = f"features.{number}"
        if isinstance(block, InceptionV4Stem):
            yield from zip(STEM, units(block), strict=True)
        elif isinstance(block, InceptionV4BlockC):
            names = [f"{prefix}.{name}" for name in BLOCK_C]
            yield from zip(names, units(block), strict=True)
        else:
            yield from _branches(prefix, block)
    yield from _classifier("last_linear", target)


def _inception_resnet_v2(target: Any) -> Iterator[tuple[str, Any]]:
    for layer in target.layers:
        if isinstance(layer, ConvBN):
            yield layer.name.replace("conv_", "conv2d_"), layer
        elif isinstance(layer, ResidualBlock):
            prefix = MODULES[layer.name]
            [[block, projection]] = layer.branches
            yield from _branches(prefix, block)
            yield f"{prefix}.conv2d", projection.conv
        elif isinstance(layer, InceptionBlock):
            yield from _branches(layer.name, layer)
    yield from _classifier("classif", target)


def _branches(
    prefix: str, block: InceptionBlock
) -> Iterator[tuple[str, ConvBN]]:
    """Yield the names and convolutions of a block.

    In timm the convolutions of a branch are numbered if there are several.
    """
    for number, branch in enumerate(block.branches):
        for index, layer in enumerate(branch):
            if isinstance(layer, ConvBN):
                suffix = f".{index}" if len(branch) > 1 else ""
                yield f"{prefix}.branch{number}{suffix}", layer


def _classifier(name: str, target: Any) -> Iterator[tuple[str, Any]]:
    for layer in target.layers:
        if isinstance(layer, keras.layers.Dense):
            yield name, layer
