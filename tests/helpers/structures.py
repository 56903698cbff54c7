"""Models of unusual structure, and custom layers that Keras cannot rebuild."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops


class WithoutConfig(layers.Layer):
    def __init__(self, units):
        super().__init__()
        self.dense = layers.Dense(units)

    def call(self, inputs):
        return self.dense(inputs)


class FailingConfig(layers.Layer):
    def call(self, inputs):
        return inputs * 2

    def get_config(self):
        raise RuntimeError("no config")


class WithoutName(layers.Layer):
    """Its config has no name, so that its copy has another one."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = layers.Dense(3)

    def call(self, inputs):
        return self.dense(inputs)


class BuiltLate(layers.Layer):
    def build(self, shape):
        self.dense = layers.Dense(3)
        self.dense.build(shape)
        self.scale = self.add_weight(shape=(3,))

    def call(self, inputs):
        return self.dense(inputs) * self.scale


def scaling(scale):
    """Return a class, each time another one of the same name."""

    class Scaling(layers.Layer):
        def call(self, inputs):
            return inputs * scale

    return Scaling


class Task(keras.Model):
    """A Functional model with its backbone as an attribute, as in keras-hub."""

    def __init__(self, backbone, **kwargs):
        outputs = layers.Dense(3)(backbone(backbone.input))
        super().__init__(backbone.input, outputs, **kwargs)
        self.backbone = self.feature_extractor = backbone


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.first = self.again = layers.Dense(3)

    def call(self, inputs):
        return self.first(inputs)


class NestedInputs(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(3)

    def call(self, inputs):
        first, second = inputs["pair"]
        return self.dense(inputs["inner"]["vector"]) * first - second


class FixedDtype(layers.Layer):
    def call(self, inputs):
        return inputs * tf.constant([1.0, 2.0, 3.0])


class CastConstant(layers.Layer):
    def call(self, inputs):
        return inputs + ops.cast(ops.mean(inputs), "float32")


class Around(layers.Layer):
    """A float64 layer around one of fixed dtype."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.fixed, self.dense = FixedDtype(), layers.Dense(2)

    def call(self, inputs):
        return self.dense(self.fixed(inputs))


def sequential(shape, *children):
    return keras.Sequential([keras.Input(shape), *children])


def backbone():
    vector = keras.Input((4,))
    x = layers.BatchNormalization()(layers.Dense(4)(vector))
    return keras.Model(vector, x)


def called_on_its_input():
    model = backbone()
    return keras.Model(model.input, layers.Dense(2)(model(model.input)))


def called_twice():
    vector, model = keras.Input((4,)), backbone()
    return keras.Model(vector, model(model(vector)))


def several_outputs():
    vector = keras.Input((4,))
    inner = keras.Model(vector, [layers.Dense(4)(vector), {"a": vector * 2}])
    other = keras.Input((4,))
    first, second = inner(other)
    both = layers.Add()([first, second["a"]])
    return keras.Model(other, {"first": first, "both": both})


def input_is_output():
    vector = keras.Input((4,))
    x = layers.Dense(2)(vector)
    return keras.Model(vector, [vector, x, x])


def nested_inputs():
    a, b, c = (keras.Input((4,), name=name) for name in "abc")
    x = layers.Concatenate()([a, b, c])
    return keras.Model([{"b": b, "a": a}, c], layers.Dense(2)(x))


def subclassed():
    model = Subclassed()
    model(np.zeros((1, 4), "float32"))
    return model


def subclassed_with_nested_inputs():
    model, ones = NestedInputs(), np.ones((1, 3), "float32")
    model({"pair": [ones, ones], "inner": {"vector": ones}})
    return model


STRUCTURES = {
    "two classes of one name": lambda: sequential(
        (4,), scaling(2)(), scaling(3)()
    ),
    "subclassed with nested inputs": subclassed_with_nested_inputs,
    "without config": lambda: sequential((4,), WithoutConfig(3)),
    "failing config": lambda: sequential((4,), FailingConfig()),
    "without name": lambda: sequential((4,), WithoutName()),
    "built late": lambda: sequential((4,), BuiltLate()),
    "task": lambda: Task(backbone()),
    "subclassed": subclassed,
    "called on its input": called_on_its_input,
    "called twice": called_twice,
    "several outputs": several_outputs,
    "input is output": input_is_output,
    "nested inputs": nested_inputs,
}
