"""The base class of layers that are made of other layers."""

from types import SimpleNamespace

import keras


class Composite(keras.layers.Layer):
    """A layer whose children (`layers`) are made from its arguments.

    A user may reach into it and change a child: freeze it, quantize it, enable
    LoRA, set its momentum. Such a change is not one of the layer's arguments.
    The config therefore contains, beside the arguments, what Keras serializes
    of each child that is no longer as the arguments make it.

    A subclass makes each child with `adopt`, which remembers how it was made,
    or puts the changed one in its place when the layer is loaded.

    Args:
        changed_children: configs of changed children by name, as `get_config`
            returns them. Defaults to `None`.
        **kwargs: the arguments of every Keras layer.
    """

    def __init__(self, changed_children=None, **kwargs):
        super().__init__(**kwargs)
        # Configs by name: in a namespace, since Keras would track a dict.
        self._children = SimpleNamespace(
            saved=changed_children or {},
            made={},
            dtype=_without_ids(
                keras.dtype_policies.serialize(self.dtype_policy)
            ),
        )

    @property
    def layers(self):
        """The children, in order. Their names differ."""
        raise NotImplementedError

    def adopt(self, layer):
        """Return the child to use for a layer that the arguments make.

        It is `layer`, or the changed child of that name in the config from
        which this layer is created. What is not a layer is returned as it is.
        """
        if not isinstance(layer, keras.layers.Layer):
            return layer
        if not self.trainable:
            layer.trainable = False
        self._children.made[layer.name] = serialize_unbuilt(layer)
        if layer.name in self._children.saved:
            return keras.saving.deserialize_keras_object(
                self._children.saved[layer.name]
            )
        return layer

    def as_made(self, layer):
        """Return the config of a child as it was when `adopt` received it."""
        return self._children.made[layer.name]

    def get_config(self):
        """Return the arguments of every layer, and the changed children."""
        config = super().get_config()
        changed = {}
        for layer in self.layers:
            found = serialize_unbuilt(layer)
            if found != self._expected(layer, config):
                changed[layer.name] = found
        return {**config, "changed_children": changed} if changed else config

    def _expected(self, layer, config):
        """Return the config of a child that follows from that of this layer.

        Freezing a layer freezes its children. Its dtype policy, in contrast,
        reaches them only when they are made.
        """
        if _without_ids(config["dtype"]) != self._children.dtype:
            return None
        made = self.as_made(layer)
        trainable = made["config"].get("trainable", True) and self.trainable
        return {**made, "config": {**made["config"], "trainable": trainable}}


def build_chain(layers, input_shape):
    """Build a chain of layers, each of which reads the one before.

    A pooling is built from the start, but does not know its input shape, which
    `summary` shows.
    """
    for layer in layers:
        if not layer.built or not layer.weights:
            layer.build(input_shape)
        input_shape = chain_shape([layer], input_shape)


def run_chain(layers, x):
    """Apply a chain of layers; Keras passes `training` on to each."""
    for layer in layers:
        x = layer(x)
    return x


def chain_shape(layers, shape):
    """Return the output shape of a chain of layers."""
    for layer in layers:  # traced, if it has no `compute_output_shape`
        inputs = keras.KerasTensor(shape, layer.compute_dtype)
        shape = tuple(layer.compute_output_spec(inputs).shape)
    return shape


def serialize_unbuilt(layer):
    """Serialize a layer without its build config, and independently of others.

    With a build config Keras would build the layer as soon as it is loaded,
    outside of the composite, and the composite's name would be missing from
    the paths of its weights. While a model is saved, Keras adds ids of objects
    that layers share; a config that is compared, or kept, must not have them.
    """
    config = _without_ids(keras.saving.serialize_keras_object(layer))
    config.pop("build_config", None)
    return config


def _without_ids(part):
    if isinstance(part, dict):
        return {
            key: _without_ids(value)
            for key, value in part.items()
            if key != "shared_object_id"
        }
    if isinstance(part, (list, tuple)):
        return type(part)(map(_without_ids, part))
    return part
