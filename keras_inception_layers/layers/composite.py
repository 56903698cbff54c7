"""The base of layers that consist of other layers."""

import keras


class Composite(keras.layers.Layer):
    """A layer whose children (`layers`) come from its arguments.

    A user may freeze a child, or change its momentum. The constructor's
    arguments do not record that, so the build config, which a `.keras` file
    stores beside them, does. It contains only what differs from the values
    that the child was given.
    """

    @property
    def layers(self):
        """The children, in order."""
        raise NotImplementedError

    def named_layers(self):
        """Return pairs of a child's path within this layer and the child."""
        return [(layer.name, layer) for layer in self.layers]

    def inherited_attributes(self):
        """Return the attributes that this layer passes on to its children."""
        return {"trainable": self.trainable}

    def get_build_config(self):
        """Return the input shape, and how the children were changed."""
        config = super().get_build_config()
        changed = {
            path: values for path, _, values in changes(self, {}) if values
        }
        return {**config, "changed": changed} if config and changed else config

    def build_from_config(self, config):
        """Build the children, and apply the recorded changes."""
        super().build_from_config(config)
        changed = config.get("changed", {})
        # A batch normalization that was folded away is not found.
        for path, layer, _ in changes(self, {}):
            for name, value in changed.get(path, {}).items():
                setattr(layer, name, value)


def changes(layer, inherited, prefix=""):
    """Find what was changed in the layers inside a layer, from the top down.

    Args:
        layer: a layer.
        inherited: the attributes that the layers around it pass on.
        prefix: its path, with a slash.

    Yields:
        For each layer inside it the path, the layer, and the attributes that
        were changed.
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
        yield from changes(child, {**inherited, **values}, f"{path}/")


def build_chain(layers, input_shape):
    """Build layers, each of which reads the output of the one before."""
    for layer in layers:
        if not layer.built:
            layer.build(input_shape)
        input_shape = output_shape(layer, input_shape)


def output_shape(layer, input_shape):
    """Return the shape of a layer's output.

    A layer that only defines `call` is traced.
    """
    inputs = keras.KerasTensor(input_shape, layer.compute_dtype)
    return tuple(layer.compute_output_spec(inputs).shape)


def serialize_unbuilt(layer):
    """Return a layer's config without its build config.

    Keras would build the layer while loading it, outside of the composite, and
    the paths of its weights would lack the composite's name.
    """
    config = keras.saving.serialize_keras_object(layer)
    config.pop("build_config", None)
    return config
