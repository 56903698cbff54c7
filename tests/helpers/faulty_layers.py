"""Layers that an export must refuse, since a copy computes something else."""

import keras


@keras.saving.register_keras_serializable("faulty")
class Forgetful(keras.layers.Layer):
    """Its config does not have its factor."""

    def __init__(self, factor=1.0, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, x):
        """Return the scaled input."""
        return self.factor * x

    def get_config(self):
        """Return a config without the factor."""
        return {"name": self.name}


@keras.saving.register_keras_serializable("faulty")
class Noisy(keras.layers.Layer):
    """It is random at inference too."""

    def call(self, x):
        """Return the input with noise."""
        return x + keras.random.normal(keras.ops.shape(x), stddev=0.1)


@keras.saving.register_keras_serializable("faulty")
class Counting(keras.layers.Layer):
    """It keeps a state between calls."""

    def build(self, input_shape):
        """Make the counter."""
        self.calls = self.add_weight(shape=(), initializer="zeros")

    def call(self, x):
        """Return the input, larger at each call."""
        self.calls.assign_add(1.0)
        return x * self.calls
