"""One model of the corpus."""

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

GAIN = 1.15
"""What kernels of deep networks are multiplied with. With 1.0 some of them
hardly depend on their inputs, and with 1.4 rounding decides about others."""


@dataclass(frozen=True, eq=False)
class Case:
    """One model that is exported.

    Args:
        name: the key of its results, such as `Conv2D.3`.
        row: its row in the table: a layer class, a network, a model.
        text: its configuration in one line.
        build: builds it, with weights as they are initialized.
        shapes: for each input name a shape that the model accepts, which
            gives the sizes where the model has an unknown one.
        data: for each input name, values that it was tested with elsewhere.
        regimes: the kinds of inputs that it is run on; all, if empty.
        deep: whether kernels are drawn anew rather than changed. Initial ones
            may be so large that signals grow in each block, until rounding
            decides what a deep network computes. Defaults to `False`.
    """

    name: str
    row: str
    text: str
    build: Callable[[], keras.Model]
    shapes: Mapping[str, tuple] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    regimes: Collection[str] = ()
    deep: bool = False

    def model(self) -> keras.Model:
        """Return the model with random weights."""
        keras.utils.set_random_seed(0)
        return randomize(self.build(), self.deep)


def randomize(model: keras.Model, anew: bool = False) -> keras.Model:
    """Move all weights off their initial values, variances upwards of 0.5.

    Biases of 0 and a moving variance of 1 hide what an export forgets.
    `Normalization` computes its weights in `adapt`; scales of quantized
    kernels belong to the kernels.
    """
    generator = np.random.default_rng(0)
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.Normalization):
            continue
        for variable in (
            *layer._trainable_variables,
            *layer._non_trainable_variables,
        ):
            if "int8" in variable.dtype and layer.quantization_mode:
                # Built as a quantized one, it computes nothing but 0.
                variable.assign(generator.integers(-127, 128, variable.shape))
                continue
            if variable.dtype not in ("float32", "float16", "bfloat16"):
                continue
            if variable.name.endswith(("_scale", "_zero", "_history")):
                continue
            if "variance" in variable.name:
                value = generator.uniform(0.5, 1.5, variable.shape)
            else:
                value = generator.normal(0, _spread(variable), variable.shape)
                if anew and len(variable.shape) > 1:
                    value *= GAIN
                else:
                    initial = keras.ops.cast(variable, "float32")
                    value += keras.ops.convert_to_numpy(initial)
            variable.assign(value.astype("float32"))
    return model


def _spread(variable):
    """Return a standard deviation with which signals pass deep networks."""
    shape = variable.shape
    if len(shape) == 4 and shape[-1] == 1:  # depthwise
        return (2 / max(1, math.prod(shape[:2]))) ** 0.5
    if len(shape) > 1:
        return min(0.2, max(1, math.prod(shape[:-1])) ** -0.5)
    return 0.2
