"""The weights of timm's `inception_v4` and `inception_resnet_v2`."""

import keras
import numpy as np

from keras_inception_layers.layers.conv_bn import ConvBN
from keras_inception_layers.layers.inception_block import InceptionBlock
from keras_inception_layers.layers.inception_v4 import (
    InceptionV4BlockC,
    InceptionV4Stem,
)
from keras_inception_layers.layers.residual_block import ResidualBlock
from keras_inception_layers.porting.tensors import (
    assign_tensors,
    check_model,
    convolutions,
)

# What a weight of Keras is called in torch, and Keras's order of its axes.
TENSORS = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
AXES = {1: (0,), 2: (1, 0), 4: (2, 3, 1, 0)}

# The modules behind the layers of Inception-ResNet v2.
MODULES = {
    **{f"block35_{n + 1}": f"repeat.{n}" for n in range(10)},
    **{f"block17_{n + 1}": f"repeat_1.{n}" for n in range(20)},
    **{f"block8_{n + 1}": f"repeat_2.{n}" for n in range(9)},
    "block8_10": "block8",
}
# The convolutions of Inception v4's blocks that follow no rule, in order.
STEM = (
    "features.0",
    "features.1",
    "features.2",
    "features.3.conv",
    "features.4.branch0.0",
    "features.4.branch0.1",
    "features.4.branch1.0",
    "features.4.branch1.1",
    "features.4.branch1.2",
    "features.4.branch1.3",
    "features.5.conv",
)
BLOCK_C = (
    "branch0",
    "branch1_0",
    "branch1_1a",
    "branch1_1b",
    "branch2_0",
    "branch2_1",
    "branch2_2",
    "branch2_3a",
    "branch2_3b",
    "branch3.1",
)
AFTER_STEM = 6


def port_timm_weights(state_dict, target):
    """Copy timm's weights into an `InceptionV4` or `InceptionResNetV2`.

    Everything is checked before the first weight is copied. torch is not
    needed.

    Args:
        state_dict: the arrays of timm's `inception_v4` or
            `inception_resnet_v2`, by name; a `.safetensors` file, for one,
            read with `safetensors.numpy.load_file`.
        target: the network of the same name, in the convention `"timm"`,
            with the same `include_top`, `classes` and number of channels.

    Returns:
        `target`.

    Raises:
        ValueError: if `target` is another network, or if a tensor is missing,
            left over or of another shape, with its name. `target` is
            unchanged then.

    Example:

    >>> target = InceptionV4(
    ...     include_top=False, input_shape=(75, 75, 3), convention="timm"
    ... )
    >>> port_timm_weights({}, target)
    Traceback (most recent call last):
    ValueError: The source has no tensor "features.0.conv.weight". ...
    """
    check_model("target", target)
    assign_tensors(_source_tensors(state_dict), _target_weights(target))
    return target


def _source_tensors(state_dict):
    """Return the tensors in Keras's order of axes, without the counters."""
    tensors = {}
    for name, tensor in state_dict.items():
        if not name.endswith(".num_batches_tracked"):
            array = np.asarray(tensor)
            tensors[name] = array.transpose(AXES.get(array.ndim))
    return tensors


def _target_weights(target):
    """Return the weights by the name that they have in timm."""
    kinds = {type(layer) for layer in target.layers}
    if InceptionV4Stem in kinds:
        modules = _inception_v4(target)
    elif any(issubclass(kind, ResidualBlock) for kind in kinds):
        modules = _inception_resnet_v2(target)
    else:
        raise ValueError(
            "`target` must be an `InceptionV4` or an `InceptionResNetV2`. "
            f'Received the model "{target.name}", which has none of their '
            "blocks."
        )
    weights = {}
    for name, layer in modules:
        parts = {name: layer}
        if isinstance(layer, ConvBN):
            parts = {f"{name}.conv": layer.conv, f"{name}.bn": layer.batch_norm}
        for part, child in parts.items():
            for weight in child.weights if child else ():
                weights[f"{part}.{TENSORS[weight.name]}"] = weight
    return weights


def _inception_v4(target):
    """Yield the name of each module, and our layer."""
    blocks = [x for x in target.layers if isinstance(x, InceptionBlock)]
    for number, block in enumerate(blocks, start=AFTER_STEM - 1):
        prefix = f"features.{number}"
        if isinstance(block, InceptionV4Stem):
            yield from zip(STEM, convolutions(block), strict=True)
        elif isinstance(block, InceptionV4BlockC):
            names = [f"{prefix}.{name}" for name in BLOCK_C]
            yield from zip(names, convolutions(block), strict=True)
        else:
            yield from _branches(prefix, block)
    yield from _classifier("last_linear", target)


def _inception_resnet_v2(target):
    """Yield the name of each module, and our layer."""
    for layer in target.layers:
        if isinstance(layer, ConvBN):
            yield layer.name.replace("conv_", "conv2d_"), layer
        elif isinstance(layer, ResidualBlock):
            prefix = MODULES[layer.name]
            [[joined, projection]] = layer.branches
            yield from _branches(prefix, joined)
            yield f"{prefix}.conv2d", projection.conv
        elif isinstance(layer, InceptionBlock):
            yield from _branches(layer.name, layer)
    yield from _classifier("classif", target)


def _branches(prefix, block):
    """Yield the convolutions of a block; a branch of one has no number."""
    for number, branch in enumerate(block.branches):
        for place, layer in enumerate(branch):
            if isinstance(layer, ConvBN):
                suffix = f".{place}" if len(branch) > 1 else ""
                yield f"{prefix}.branch{number}{suffix}", layer


def _classifier(name, target):
    for layer in target.layers:
        if isinstance(layer, keras.layers.Dense):
            yield name, layer
