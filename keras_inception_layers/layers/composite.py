"""The base class of layers that are made of other layers."""

import keras


class Composite(keras.layers.Layer):
    """A layer whose children (`layers`) are made from its arguments.

    A user may reach into it and freeze a child, or change its momentum. Such
    a change is not part of the constructor's arguments, so it is saved in the
    build config of the `.keras` file. Only attributes that differ from those
    that the child received from this layer are saved.
    """

    @property
    def layers(self):
        """The children, in order."""
        raise NotImplementedError

    def named_layers(self):
        """Return pairs of a child's path within this layer and the child."""
        return [(layer.name, layer) for layer in self.layers]

    def inherited_attributes(self):
        """Return the attributes that all layers within this one inherit."""
        return {"trainable": self.trainable}

    def get_build_config(self):
        """Return the input shape, and the changed attributes of children."""
        config = super().get_build_config()
        changed = {
            path: values for path, _, values in find_changes(self, {}) if values
        }
        return {**config, "changed": changed} if config and changed else config

    def build_from_config(self, config):
        """Build the children and restore their changed attributes."""
        super().build_from_config(config)
        changed = config.get("changed", {})
        # Paths of batch normalizations that have been folded are ignored.
        for path, layer, _ in find_changes(self, {}):
            for name, value in changed.get(path, {}).items():
                setattr(layer, name, value)


def find_changes(layer, inherited, prefix=""):
    """Find attributes that were changed within a layer, from the top down.

    Args:
        layer: a layer.
        inherited: the attributes that it inherits from the layers around it.
        prefix: path of the layer, followed by a slash.

    Yields:
        For each layer within it: the path, the layer, and those attributes
        that differ from the inherited ones.
    """
    if isinstance(layer, Composite):
        inherited = {**inherited, **layer.inherited_attributes()}
        children = layer.named_layers()
    else:
        inherited = {**inherited, "trainable": layer.trainable}
        children = [
            (child.name, child)
            for child in layer._flatten_layers(False, recursive=False)
        ]
    for name, child in children:
        path = f"{prefix}{name}"
        values = {
            key: getattr(child, key)
            for key, value in inherited.items()
            if getattr(child, key, value) != value
        }
        yield path, child, values
        yield from find_changes(child, {**inherited, **values}, f"{path}/")


def build_chain(layers, input_shape):
    """Build a chain of layers, each of which reads the one before."""
    for layer in layers:
        if not layer.built:
            layer.build(input_shape)
        input_shape = output_shape(layer, input_shape)


def output_shape(layer, input_shape):
    """Return the shape of a layer's output.

    A layer that implements only `call` is traced.
    """
    inputs = keras.KerasTensor(input_shape, layer.compute_dtype)
    return tuple(layer.compute_output_spec(inputs).shape)


def serialize_unbuilt(layer):
    """Serialize a layer without its build config.

    With a build config Keras would build the layer as soon as it is loaded,
    outside of the composite, and the composite's name would be missing from
    the paths of its weights.
    """
    config = keras.saving.serialize_keras_object(layer)
    config.pop("build_config", None)
    return config
