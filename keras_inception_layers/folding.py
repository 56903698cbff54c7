"""Fold batch normalization into the layer before it.

In inference, batch normalization is one scale and one shift per channel. If it
follows a convolution or a dense layer whose output nothing else reads, both
can be folded into the kernel and bias of that layer.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import pairwise

import keras
import numpy as np

from keras_inception_layers.graph import KerasModel, check_model
from keras_inception_layers.layers.composite import serialize_unbuilt
from keras_inception_layers.layers.conv_bn import ConvBN
from keras_inception_layers.layers.inception_block import InceptionBlock
from keras_inception_layers.rebuilding import copy_state, rebuild
from keras_inception_layers.registration import PACKAGE

_layers = keras.layers
# The layers that a batch normalization can be folded into: the attribute of
# the kernel, and the kernel's axes of output channels.
KERNELS = {
    _layers.Dense: ("kernel", (-1,)),
    _layers.Conv1D: ("kernel", (-1,)),
    _layers.Conv2D: ("kernel", (-1,)),
    _layers.Conv3D: ("kernel", (-1,)),
    _layers.Conv1DTranspose: ("kernel", (-2,)),
    _layers.Conv2DTranspose: ("kernel", (-2,)),
    _layers.Conv3DTranspose: ("kernel", (-2,)),
    _layers.DepthwiseConv1D: ("kernel", (-2, -1)),
    _layers.DepthwiseConv2D: ("kernel", (-2, -1)),
    _layers.SeparableConv1D: ("pointwise_kernel", (-1,)),
    _layers.SeparableConv2D: ("pointwise_kernel", (-1,)),
}


@dataclass(frozen=True)
class _Plan:
    """What to fold. Layers of the live model are identified by their id.

    Args:
        shared: layers that are in more than one container; they are not folded.
        containers: layers whose children are copied one by one.
        folds: the batch normalization of each layer that it is folded into.
    """

    shared: frozenset[int]
    containers: set[int] = field(default_factory=set)
    folds: dict[int, keras.layers.Layer] = field(default_factory=dict)


def fold_batch_norm(model: KerasModel) -> keras.Model:
    """Return a copy of the model without batch normalization.

    It is for inference: the copy has the outputs of the model with
    `training=False`. Each scale and shift is folded, in float64 and rounded
    once, into the kernel and bias of the layer before it: Conv1D to Conv3D,
    their transposed forms, DepthwiseConv, SeparableConv and Dense without an
    activation of their own, and the layers of this package. Functional,
    Sequential and nested models are supported. A batch normalization is kept
    where folding would be wrong: after an activation or another kind of layer,
    after a layer whose output is also read elsewhere, and after one with
    channels first whose output is as wide as it has channels, or of unknown
    width: TensorFlow would add the bias to the columns.

    Args:
        model: a built Keras model. It is not changed.

    Returns:
        A new, uncompiled model of the same class and name.

    Raises:
        ValueError: if `model` is not a model, or is not built.

    Example:

    >>> model = keras.Sequential([keras.Input((8, 8, 3)), ConvBN(4, 3)])
    >>> [w.name for w in fold_batch_norm(model).weights]
    ['kernel', 'bias']
    """
    check_model("model", model)
    return folded(model)


def folded(model, *edits):
    """Return a folded copy, with further `edits` as in `rebuilding.rebuild`."""
    plan = _Plan(_shared_layers(model))

    def fold(config):
        _fold_layer(config, model, plan)

    copy = rebuild(model, fold, *edits)
    _copy_weights(model, copy, plan)
    return copy


def _shared_layers(model):
    """Return the ids of layers that are in more than one container."""
    count: Counter[int] = Counter()

    def visit(layer):
        if isinstance(layer, keras.Model) or _is_plugin_layer(layer):
            for child in getattr(layer, "layers", ()):
                count[id(child)] += 1
                visit(child)

    visit(model)
    return frozenset(key for key, number in count.items() if number > 1)


def _is_plugin_layer(layer):
    name = keras.saving.get_registered_name(type(layer))
    return name.startswith(f"{PACKAGE}>")


def _fold_layer(entry, layer, plan):
    """Remove batch norm from a serialized layer and all layers within it."""
    config = entry["config"]
    if _is_plugin_layer(layer) and config.get("use_batch_norm"):
        fold = _fold_conv_bn if isinstance(layer, ConvBN) else _fold_block
        fold(config, layer, plan)
    elif isinstance(layer, InceptionBlock) and "branches" in config:
        plan.containers.add(id(layer))
        config.pop("changed_children", None)
        config["branches"] = [
            [serialize_unbuilt(child) for child in branch]
            for branch in layer.branches
        ]
        for entries, children in zip(
            config["branches"], layer.branches, strict=True
        ):
            _fold_chain(entries, children, plan)
    elif isinstance(layer, keras.Sequential) and "layers" in config:
        plan.containers.add(id(layer))
        _fold_chain(config["layers"], layer.layers, plan)
    elif isinstance(layer, keras.Model) and "input_layers" in config:
        plan.containers.add(id(layer))
        _fold_graph(config, layer.layers, plan)


def _fold_conv_bn(config, layer, plan):
    if not _can_fold(layer.conv, layer.batch_norm, plan):
        return
    plan.containers.add(id(layer))
    plan.folds[id(layer.conv)] = layer.batch_norm
    config.update(use_batch_norm=False, use_bias=None)
    changed = config.get("changed_children", {})
    changed.pop("batch_norm", None)
    if "conv" in changed:
        changed["conv"]["config"]["use_bias"] = True


def _fold_block(config, layer, plan):
    """Fold in a block whose option applies to all children but changed ones.

    A convolution that cannot be folded, such as one with LoRA, becomes a
    changed child and keeps its batch normalization.
    """
    plan.containers.add(id(layer))
    config.update(use_batch_norm=False, use_bias=None)
    changed = config.get("changed_children", {})
    for child in layer.layers:
        entry = changed.get(child.name) or serialize_unbuilt(child)
        _fold_layer(entry, child, plan)
        kept = entry["config"]
        if kept.get("use_batch_norm") or kept.get("changed_children"):
            config.setdefault("changed_children", {})[child.name] = entry


def _fold_chain(entries, children, plan):
    """Fold within a chain of layers, each of which reads the one before."""
    names = [_name(entry) for entry in entries]
    _fold_children(entries, children, list(pairwise(names)), plan)


def _fold_graph(config, children, plan):
    """Fold within a Functional model."""
    entries = config["layers"]
    output = None  # stands for the reader of the model's outputs
    edges = [
        (reference[0], _name(entry))
        for entry in entries
        for reference in _references(entry["inbound_nodes"])
    ]
    edges += [(r[0], output) for r in _references(config["output_layers"])]
    nodes = {_name(entry): entry["inbound_nodes"] for entry in entries}
    folded = _fold_children(entries, children, edges, plan)
    # What read node n of a batch norm now reads the input of that node.
    sources = {
        name: [next(_references(node)) for node in nodes[name]]
        for name in folded
    }
    for reference in _references([config["output_layers"], *nodes.values()]):
        if reference[0] in sources:
            reference[:] = sources[reference[0]][reference[1]]


def _references(structure):
    """Yield each `[layer name, node, tensor]` in a part of a config."""
    if isinstance(structure, dict):
        structure = structure.values()
    elif [type(x) for x in structure] == [str, int, int]:
        yield structure
        return
    for value in structure:
        if isinstance(value, (dict, list, tuple)):
            yield from _references(value)


def _fold_children(entries, children, edges, plan):
    """Fold among the children of one container; return the names of the folded.

    An edge is a pair of names: a child, and a child that reads its output.
    Entries of folded children are removed.
    """
    layers = {child.name: child for child in children}
    configs = {_name(entry): entry["config"] for entry in entries}
    readers = defaultdict(set)
    sources = defaultdict(set)
    for source, reader in edges:
        readers[source].add(reader)
        sources[reader].add(source)
    folded = set()
    for entry in entries:
        name = _name(entry)
        if name not in layers:  # an input, or an operation without weights
            continue
        source = next(iter(sources[name]), None)
        if (
            source in layers
            and sources[name] == {source}
            and readers[source] == {name}
            and not _is_always_training(entry)
            and _can_fold(layers[source], layers[name], plan)
        ):
            plan.folds[id(layers[source])] = layers[name]
            configs[source]["use_bias"] = True
            folded.add(name)
        else:
            _fold_layer(entry, layers[name], plan)
    entries[:] = [entry for entry in entries if _name(entry) not in folded]
    return folded


def _name(entry):
    return entry.get("name") or entry["config"].get("name")


def _is_always_training(entry):
    """Return whether the model calls a layer with `training=True`."""
    nodes = entry.get("inbound_nodes", ())
    return any(node["kwargs"].get("training") for node in nodes)


def _can_fold(layer, batch_norm, plan):
    if (
        type(layer) not in KERNELS
        or type(batch_norm) is not _layers.BatchNormalization
        or not plan.shared.isdisjoint({id(layer), id(batch_norm)})
        or layer.activation is not keras.activations.linear
        or layer.dtype_policy.quantization_mode
        or getattr(layer, "lora_enabled", False)
    ):
        return False
    rank = batch_norm.input_spec.ndim
    data_format = getattr(layer, "data_format", "channels_last")
    channels_first = data_format == "channels_first"
    shape = batch_norm.get_build_config()["input_shape"]
    return batch_norm.axis % rank == (
        1 if channels_first else rank - 1
    ) and adds_bias_to_channels(data_format, shape)


def adds_bias_to_channels(data_format, output_shape):
    """Return whether Keras adds the bias of a layer to the channels.

    Under TensorFlow, it adds one to the last axis wherever that is as long as
    the channels, in an eager call even if the length was unknown before.
    """
    if data_format != "channels_first":
        return True
    return output_shape[-1] not in (None, output_shape[1])


def _copy_weights(source, target, plan):
    """Copy the weights of a layer, folded according to the plan."""
    if id(source) in plan.folds:
        _assign_folded(source, plan.folds[id(source)], target)
    elif id(source) in plan.containers:
        for original, layer in _pairs(source.layers, target.layers, plan):
            _copy_weights(original, layer, plan)
    else:
        copy_state(source, target)


def _pairs(old, new, plan):
    """Yield each child of a container with its copy.

    Custom layers whose `get_config` leaves out the name are in the same order.
    """
    removed = {id(batch_norm) for batch_norm in plan.folds.values()}
    originals = {x.name: x for x in old if id(x) not in removed}
    same = originals.keys() & {layer.name for layer in new}
    renamed = [originals[name] for name in originals if name not in same]
    others = [layer for layer in new if layer.name not in same]
    yield from ((originals[x.name], x) for x in new if x.name in same)
    yield from zip(renamed, others, strict=True)


def _assign_folded(layer, batch_norm, target):
    """Assign the folded kernel and bias of a layer to its copy."""

    def to_float64(variable):
        return keras.ops.convert_to_numpy(variable).astype("float64")

    scale = 1 / np.sqrt(
        to_float64(batch_norm.moving_variance) + batch_norm.epsilon
    )
    if batch_norm.scale:
        scale = scale * to_float64(batch_norm.gamma)
    bias = -to_float64(batch_norm.moving_mean) * scale
    if batch_norm.center:
        bias = bias + to_float64(batch_norm.beta)
    if layer.use_bias:
        bias = bias + to_float64(layer.bias) * scale

    attribute, axes = KERNELS[type(layer)]
    kernel = to_float64(getattr(layer, attribute))
    shape = [1] * kernel.ndim
    for axis in axes:
        shape[axis] = kernel.shape[axis]
    getattr(target, attribute).assign(kernel * scale.reshape(shape))
    target.bias.assign(bias)
    if attribute == "pointwise_kernel":
        target.depthwise_kernel.assign(layer.depthwise_kernel)
