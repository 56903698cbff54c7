"""Models whose layers a user has changed, and what is documented of them.

The table is that of docs/how_to/fine_tuning.md.
"""

from functools import cache
from pathlib import Path

import keras
import pytest

from keras_inception_layers import AuxiliaryClassifier, InceptionV1Block
from tests.helpers.layer_cases import FILTERS, leaves
from tests.helpers.numeric import random_images, randomize

layers = keras.layers
# The layers that a policy of their own is given to.
MIXED = "branch_1_conv_0/conv|head/dense|flat_dense|attention/query"


def batch_norms(model):
    return [
        x for x in leaves(model) if isinstance(x, layers.BatchNormalization)
    ]


def freeze_some(model):
    for number, layer in enumerate(leaves(model)):
        layer.trainable = number % 3 > 0


def set_momentum(model):
    for number, norm in enumerate(batch_norms(model)):
        norm.momentum = 0.5 + number / 100


def enable_lora(model):
    for layer in leaves(model):
        if hasattr(layer, "enable_lora"):
            layer.enable_lora(2)
            layer.lora_kernel_b.assign(random_images(layer.lora_kernel_b.shape))


CHANGES = {
    "frozen": freeze_some,
    "momentum": set_momentum,
    "LoRA": enable_lora,
    "int8": lambda model: model.quantize("int8"),
    "int4": lambda model: model.quantize("int4"),
    "float8": lambda model: model.quantize("float8"),
    "DTypePolicyMap": None,  # given to the constructor
}


def plugin_model(**options):
    inputs = keras.Input((5, 5, 3))
    x = InceptionV1Block(FILTERS, name="block", **options)(inputs)
    return keras.Model(
        inputs, AuxiliaryClassifier(3, name="head", **options)(x)
    )


def flat_model(**options):
    inputs = keras.Input((5, 5, 3))
    x = layers.Conv2D(4, 3, name="flat_conv", **options)(inputs)
    x = layers.BatchNormalization(name="norm", **options)(x)
    x = layers.Flatten(name="flatten", **options)(x)
    x = layers.Dense(8, name="flat_dense", **options)(x)
    return keras.Model(inputs, layers.Dense(3, name="top", **options)(x))


def attention_model(**options):
    """Return a model with a composite layer of Keras."""
    inputs = keras.Input((5, 5, 3))
    x = layers.Reshape((25, 3), name="reshape", **options)(inputs)
    x = layers.MultiHeadAttention(2, 4, name="attention", **options)(x, x)
    return keras.Model(inputs, x)


@cache
def changed_model(make, change):
    if CHANGES[change] is None:
        policy = keras.dtype_policies.DTypePolicyMap(
            policy_map={f".*({MIXED})": keras.DTypePolicy("mixed_bfloat16")}
        )
        return randomize(make(dtype=policy))
    model = randomize(make())
    CHANGES[change](model)
    return model


def ignore_warnings(test):
    for message in (
        "Layer .* does not have a `quantize`",
        "You are saving your model as an HDF5",
    ):
        test = pytest.mark.filterwarnings(f"ignore:{message}")(test)
    return test


def documented():
    """Return the words of each cell of the table: of a block, of Keras."""
    page = Path(__file__).parents[2] / "docs/how_to/fine_tuning.md"
    rows = [
        [cell.strip(" `") for cell in line.strip("|").split("|")]
        for line in page.read_text(encoding="utf-8").splitlines()
        if line.startswith("|") and (".weights.h5" in line or " / " in line)
    ]
    (_, *ways), *rows = rows
    assert {row[0] for row in rows} == CHANGES.keys()
    return {
        change: {
            way: cell.split(" / ")
            for way, cell in zip(ways, cells, strict=True)
        }
        for change, *cells in rows
    }


DOCUMENTED = documented()

every_change = pytest.mark.parametrize("change", CHANGES)
