"""The names and the order of a model's inputs and outputs.

Keras numbers layers and tensors without a given name, so their names depend on
what the process built before. The names in an artifact must not.
"""

import itertools
import keyword
import re

import keras
from keras.src.utils.naming import to_snake_case

from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.errors import RequestError

_AUTOMATIC_INPUT = re.compile(r"(keras_tensor|input_layer)(_\d+)?")


def specs_of(model):
    """Return the specs of a model's inputs and outputs, in declared order.

    The name is the key in a dictionary, else the given name, which for an
    output is that of the layer that computes it. An automatic name becomes
    `input`, `input_1`, ...

    Returns:
        The inputs, the outputs, and for each input its index in the flattened
        `model.input`, and the same for the outputs.

    Raises:
        RequestError: if a name cannot be used in every format.
    """
    inputs, input_order = _specs(
        model.input, model.inputs, _name_of_input, "input"
    )
    outputs, output_order = _specs(
        model.output, model.outputs, _name_of_output, "output"
    )
    both = {spec.name for spec in inputs} & {spec.name for spec in outputs}
    if both:
        raise RequestError(
            f'"{min(both)}" names both an input and an output, which ONNX '
            "does not allow; rename one of them"
        )
    return inputs, outputs, input_order, output_order


def _name_of_input(tensor):
    return None if _AUTOMATIC_INPUT.fullmatch(tensor.name) else tensor.name


def _name_of_output(tensor):
    layer = tensor._keras_history.operation
    if isinstance(layer, keras.layers.InputLayer):
        return None
    automatic = rf"{to_snake_case(type(layer).__name__)}(_\d+)?"
    return None if re.fullmatch(automatic, layer.name) else layer.name


def _specs(structure, tensors, given_name, automatic_name):
    """Return the specs and the indices of tensors in the declared order."""
    indices = keras.tree.pack_sequence_as(structure, list(range(len(tensors))))
    specs: dict[str, TensorSpec] = {}
    order = []
    for key, index in _declared(indices):
        tensor = tensors[index]
        name = base = key or given_name(tensor) or automatic_name
        numbers = itertools.count(1)
        while name in specs:
            name = f"{base}_{next(numbers)}"
        _check_name(name, automatic_name)
        if tensor.dtype == "string":
            raise RequestError(
                f'the {automatic_name} "{name}" is of dtype string, which '
                "TFLite and ONNX models of Keras layers do not accept; leave "
                "text processing out of the exported model"
            )
        if tensor.dtype.startswith("complex") and automatic_name == "input":
            raise RequestError(
                f'the input "{name}" is of dtype {tensor.dtype}; make its real '
                "and its imaginary part an input each"
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
