"""A layer made of other layers, and what it has to say about them."""

import keras


class Composite(keras.layers.Layer):
    """A layer whose children (`layers`) come from its arguments.

    A user may reach into it and freeze a child, or change its momentum. The
    arguments do not say so; what a `.keras` file keeps beside them, the build
    config, does. Only what differs from what the child was handed is kept.
    """

    @property
    def layers(self):
        """The children, in order."""
        raise NotImplementedError

    def named_layers(self):
        """Return pairs of a child's path within this layer and the child."""
        return [(layer.name, layer) for layer in self.layers]

    def handed_on(self):
        """Return the attributes that this layer hands on to all within it."""
        return {"trainable": self.trainable}

    def get_build_config(self):
        """Return the input shape, and how the children were changed."""
        config = super().get_build_config()
        changed = {
            path: values for path, _, values in changes(self, {}) if values
        }
        return {**config, "changed": changed} if config and changed else config

    def build_from_config(self, config):
        """Build the children, and change them likewise."""
        super().build_from_config(config)
        changed = config.get("changed", {})
        # A batch normalization that was folded away since is not found.
        for path, layer, _ in changes(self, {}):
            for name, value in changed.get(path, {}).items():
                setattr(layer, name, value)


def changes(layer, inherited, prefix=""):
    """Find what was changed in the layers within a layer, from the top down.

    Args:
        layer: a layer.
        inherited: what the layers around it hand on.
        prefix: its path, with a slash.

    Yields:
        For each layer within it the path, the layer, and those attributes
        that are not what they would be by themselves.
    """
    if isinstance(layer, Composite):
        inherited = {**inherited, **layer.handed_on()}
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
    """Build layers of which each reads the one before."""
    for layer in layers:
        if not layer.built:
            layer.build(input_shape)
        input_shape = output_shape(layer, input_shape)


def output_shape(layer, input_shape):
    """Return the shape of a layer's output, whether or not it tells itself.

    A layer with nothing but `call` is traced.
    """
    inputs = keras.KerasTensor(input_shape, layer.compute_dtype)
    return tuple(layer.compute_output_spec(inputs).shape)


def serialize_unbuilt(layer):
    """Return a layer's config, unbuilt: the composite builds it in its place.

    Keras would build it at once when it loads it, outside of the composite,
    and the paths of its weights would lose the composite's name.
    """
    config = keras.saving.serialize_keras_object(layer)
    config.pop("build_config", None)
    return config
