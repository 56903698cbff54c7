"""The names and the order of a model's inputs and outputs.

Keras numbers layers and tensors without a given name, so their names depend on
what the process built before. The names in an artifact must not.
"""

import itertools
import keyword
import re

import keras

from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.errors import RequestError

_AUTOMATIC_INPUT = re.compile(r"(keras_tensor|input_layer)(_\d+)?")


def input_specs(model):
    """Return the specs of the model's inputs and their declared order.

    The name is the key in a dictionary, else the given name; an automatic
    name becomes `input`, `input_1`, ...

    The order contains, per input, its index in the flattened `model.input`.

    Raises:
        RequestError: if a name cannot be used in every format.
    """

    def given_name(tensor):
        automatic = _AUTOMATIC_INPUT.fullmatch(tensor.name)
        return None if automatic else tensor.name

    return _specs(model.input, model.inputs, given_name, "input")


def output_specs(model):
    """Return the specs of the model's outputs and their declared order.

    Like `input_specs`; the given name of an output is that of the layer that
    computes it.
    """

    def given_name(tensor):
        layer = tensor._keras_history.operation
        if isinstance(layer, keras.layers.InputLayer):
            return None
        automatic = re.fullmatch(
            rf"{_snake_case(type(layer).__name__)}(_\d+)?", layer.name
        )
        return None if automatic else layer.name

    return _specs(model.output, model.outputs, given_name, "output")


def check_distinct(inputs, outputs):
    """Raise RequestError if an input and an output have the same name."""
    both = {spec.name for spec in inputs} & {spec.name for spec in outputs}
    if both:
        raise RequestError(
            f'"{min(both)}" names both an input and an output, which ONNX '
            "does not allow; rename one of them"
        )


def _snake_case(name):
    """Return the automatic name that Keras gives to a layer of a class."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def _specs(structure, tensors, given_name, automatic_name):
    """Return the specs and the indices of tensors in the declared order."""
    indices = keras.tree.pack_sequence_as(structure, list(range(len(tensors))))
    specs: dict[str, TensorSpec] = {}
    order = []
    for key, index in _declared(indices):
        tensor = tensors[index]
        name = key or given_name(tensor) or automatic_name
        numbered = (f"{name}_{number}" for number in itertools.count(1))
        while name in specs:
            name = next(numbered)
        _check_name(name, automatic_name)
        if tensor.dtype == "string":
            raise RequestError(
                f'the {automatic_name} "{name}" is of dtype string, which '
                "TFLite and ONNX models of Keras layers do not accept; leave "
                "text processing out of the exported model"
            )
        if tensor.dtype == "bfloat16" and automatic_name == "input":
            raise RequestError(
                f'the input "{name}" is of dtype bfloat16, of which NumPy has '
                "no arrays; give that input the dtype float32"
            )
        if 0 in tensor.shape:
            raise RequestError(
                f'the {automatic_name} "{name}" has the shape '
                f"{tuple(tensor.shape)}, so it holds no value; expected axes "
                "of at least 1"
            )
        specs[name] = TensorSpec(name, tuple(tensor.shape), tensor.dtype)
        order.append(index)
    return tuple(specs.values()), tuple(order)


def _declared(structure, key=None):
    """Yield the keys and values of a structure in the order of its source."""
    if isinstance(structure, dict):
        for name, value in structure.items():
            yield from _declared(value, str(name))
    elif isinstance(structure, (list, tuple)):
        for value in structure:
            yield from _declared(value, key)
    elif structure is not None:
        yield key, structure


def _check_name(name, role):
    if not (name.isascii() and name.isidentifier()) or keyword.iskeyword(name):
        raise RequestError(
            f'the {role} name "{name}" cannot be used in a SavedModel '
            "signature: expected letters, digits and underscores, not "
            "starting with a digit, and no Python keyword; rename that "
            f"{role} in the model"
        )
