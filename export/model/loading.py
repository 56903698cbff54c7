"""Load or build Keras models, and make them Functional without side heads."""

import functools
import importlib
import inspect
import json
import re
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import keras

import keras_inception_layers as plugin
from keras_inception_export.data.reading import read_json, reading
from keras_inception_export.errors import (
    RequestError,
    check_regular,
    reason_of,
)
from keras_inception_export.model.networks import NETWORKS
from keras_inception_export.model.precision import describe
from keras_inception_export.model.stored_weights import (
    check_weights,
    limited_weights,
)
from keras_inception_layers import drop_auxiliary
from keras_inception_layers.graph import functional_graph, has_own_call
from keras_inception_layers.rebuilding import parts_of

DEEPEST = 5000
"""Calls of Python within each other that a deep model needs: Keras follows a
graph from its outputs to its inputs, one call per layer."""

MOST_OBJECTS = 100_000
"""Layers, initializers and policies in the config of a model. Keras makes a
layer, which has 4 to 10 of them, in 3 ms; no known network has 5,000 layers."""

_SCOPE = re.compile(r"[A-Za-z0-9.][A-Za-z0-9_.>-]*")


@contextmanager
def deep_models() -> Iterator[None]:
    """Let Keras make models of thousands of layers in a row, in a block."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, DEEPEST))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def build_model(name):
    """Return a network of `NETWORKS` with its defaults and seeded weights."""
    keras.utils.set_random_seed(0)
    return getattr(plugin, NETWORKS[name])()


@deep_models()
def load_model(path):
    """Return the model in a `.keras` file, or in an `.h5` file of Keras 2.

    Raises:
        RequestError: if the file does not exist, contains no Keras model, or
            needs code that is not registered.
    """
    path = Path(path)
    check_regular(path)
    with reading(
        path,
        "is not a Keras model",
        "expected a .keras or .h5 file with the whole model, as `model.save` "
        "writes it; a SavedModel, or a file of weights alone, must be loaded "
        "into a model first",
        error=RequestError,
    ):
        config, version = _read_config(path)
        _refuse_unknown(config, path)
    with reading(
        f"{path}, saved by Keras {version},",
        f"cannot be loaded by Keras {keras.__version__}",
        _remedy(version),
        error=RequestError,
    ):
        with limited_weights(check_weights(path, _load)):
            model = _load(path)
    if not isinstance(model, keras.Model):
        raise RequestError(
            f"{path} contains a {type(model).__name__}, expected a keras.Model"
        )
    _check_restored(model, path)
    return model


def _check_restored(model, path):
    """Raise RequestError for a layer that has no weights before it is called.

    Keras does not restore those, and then gives it initial ones.
    """
    late = [layer for layer in model._flatten_layers() if not layer.built]
    if not model.built or not late:
        return
    _called_on(functional(model))
    for layer in late:
        if layer._trainable_variables or layer._non_trainable_variables:
            raise RequestError(
                f"the layer {describe(layer)} in {path} is not built when the "
                "file is loaded, so Keras does not restore its weights; build "
                "it in `build` of the layer or model that calls it, and save "
                "the model again"
            )


def _read_config(path):
    """Return the config in a file, and the version of Keras that saved it."""
    if h5py.is_hdf5(path):
        with h5py.File(path) as file:
            config = json.loads(file.attrs["model_config"])
            version = file.attrs.get("keras_version", "2 or older")
            if isinstance(version, bytes):  # as h5py once wrote it
                version = version.decode()
            return config, version
    with zipfile.ZipFile(path) as archive:
        config = read_json(archive, "config.json")
        if "metadata.json" not in archive.namelist():
            return config, "3"  # which does not read it either
        metadata = read_json(archive, "metadata.json")
    return config, metadata.get("keras_version", "2 or older")


def _remedy(version):
    """Return what to do about a file that cannot be loaded."""
    saved, installed = (
        [int(number) for number in re.findall(r"\d+", str(text))[:3]]
        for text in (version, keras.__version__)
    )
    if saved < [3]:
        return (
            "build the model with Keras 3 and give it the weights: "
            "`model.load_weights` reads those of an .h5 file of Keras 2"
        )
    if saved > installed:
        return "install the version of Keras that saved it, or a later one"
    return "if it needs code of yours, name the module with --import MODULE"


def _load(path):
    """Load a file, in the format that it has; Keras goes by its suffix."""
    with tempfile.TemporaryDirectory() as folder:
        suffix = ".h5" if h5py.is_hdf5(path) else ".keras"
        link = Path(folder, "model").with_suffix(suffix)
        link.symlink_to(path.absolute())
        return keras.models.load_model(link, compile=False)


def import_modules(names):
    """Import the modules that register a model's custom layers.

    Raises:
        RequestError: if one cannot be imported.
    """
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise RequestError(
                f"--import {name}: the module cannot be imported ({error}); "
                "it must be installed or on PYTHONPATH"
            ) from None


def functional(model):
    """Return the model as a Functional model without side heads.

    Raises:
        RequestError: if it is not built, or contains code instead of layers.
    """
    if not model.built or not model.weights and not model.layers:
        raise RequestError(
            f'the model "{model.name}" is not built, so it has no weights; '
            "call it on data once, or give it an Input, and save it again"
        )
    for layer in model._flatten_layers():
        _check_layer(layer)
    if type(model).__call__ is not keras.Layer.__call__:
        if functional_graph(model) is model:
            return model  # any other one would not compute what it adds
        raise RequestError(
            f'the class {type(model).__name__} of the model "{model.name}" '
            "defines __call__, which Keras does not store; do it in `call`"
        )
    if getattr(model, "inputs", None):
        if has_own_call(model):
            return _called_on(model)
        try:
            model = drop_auxiliary(model)
        except ValueError as error:
            raise RequestError(str(error)) from error
        if isinstance(model, keras.Sequential):
            model = keras.Model(
                model.inputs[0], model.outputs[0], name=model.name
            )
        return model
    return _called_on_inputs(model)


def _check_layer(layer):
    """Raise RequestError for a layer that cannot be exported."""
    if not _SCOPE.fullmatch(layer.name):
        raise RequestError(
            f'the layer name "{layer.name}" cannot be a name scope of '
            "TensorFlow: expected letters, digits and any of _.>-, "
            "starting with a letter, a digit or a dot; rename the layer"
        )
    if getattr(layer, "stateful", False):
        raise RequestError(
            f"the layer {describe(layer)} is stateful: it keeps its state "
            "between calls, which an artifact does not; build it with "
            "stateful=False, and with the state as an input (initial_state) "
            "and an output (return_state=True) if it must go on"
        )


def _called_on_inputs(model):
    """Return a subclassed model as a Functional model of one layer."""
    shapes = model.get_build_config()
    if not shapes or list(shapes) != ["input_shape"]:
        raise RequestError(
            f'the inputs of the subclassed model "{model.name}" are '
            "unknown; give `call` one argument, a tensor, list or dictionary"
        )
    parameters = inspect.signature(model.call).parameters.values()
    required = [x.name for x in parameters if x.default is x.empty]
    required = [x for x in required if x not in ("training", "mask", "kwargs")]
    if len(required) > 1:
        raise RequestError(
            f'`call` of the subclassed model "{model.name}" has the arguments '
            f"{', '.join(required)}, of which Keras stores the shape of the "
            "first only; make it one argument, a list or dictionary"
        )

    def make_input(shape, name=None):
        shape = (None, *shape[1:])
        return keras.Input(
            batch_shape=shape, dtype=model.input_dtype, name=name
        )

    def make_inputs(shapes, name=None):
        if isinstance(shapes, dict):  # in the order in which it was given
            return {key: make_inputs(x, key) for key, x in shapes.items()}
        if any(isinstance(x, (list, tuple, dict)) for x in shapes):
            name = None  # of several
        make = functools.partial(make_input, name=name)
        return keras.tree.map_shape_structure(make, shapes)

    inputs = make_inputs(shapes["input_shape"])
    return _called_on(model, inputs)


def _called_on(model, inputs=None):
    """Return a Functional model of one layer, which is a model.

    Without `inputs`, they are those of its graph.
    """
    if inputs is None:
        # A Sequential model delegates to a Functional one.
        graph = vars(model).get("_functional") or model
        inputs = keras.tree.map_structure(_input_like, graph.input)
    try:
        outputs = model(inputs, training=False)
    except Exception as error:
        shapes = keras.tree.map_structure(lambda x: tuple(x.shape), inputs)
        raise RequestError(
            f'the subclassed model "{model.name}" cannot be called on symbolic '
            f"inputs of the shapes {shapes}: {reason_of(error)}"
        ) from error
    return keras.Model(inputs, outputs, name=model.name)


def _input_like(tensor):
    return keras.Input(
        batch_shape=tensor.shape, dtype=tensor.dtype, name=tensor.name
    )


def _has_lambda(config):
    """Return whether an object's config has the code of a lambda.

    Keras 2 marks it, Keras 3 gives it a class; that of an activation has
    neither, only the key "value" with its code, defaults and closure.
    """
    if not isinstance(config, dict):
        return False
    if config.get("function_type") == "lambda":
        return True
    for value in config.values():
        match value:
            case {"class_name": "__lambda__"}:
                return True
            case {"value": [str(), _, _], **others} if not others:
                return True
    return False


def _refuse_unknown(config, path):
    """Raise RequestError for the first unregistered class in a config.

    And for a config that would take minutes, only to be refused by Keras.
    """
    count = 0
    for entry in parts_of(config):
        if not {"class_name", "config"} <= entry.keys():
            continue
        count += 1
        if count > MOST_OBJECTS:
            raise RequestError(
                f"{path} declares more than {MOST_OBJECTS:,} layers, "
                "initializers and other objects; export parts of the model"
            )
        if _has_lambda(entry["config"]):
            name = entry["config"].get("name", "")
            raise RequestError(
                f'{path} contains a lambda in "{name}", whose code a .keras '
                "file cannot store safely; replace it by a registered layer "
                "or function"
            )
        missing = _unregistered(entry)
        if missing:
            raise RequestError(
                f"{path} needs {missing}, which is not registered; name the "
                "module that registers it with --import MODULE"
            )


def _unregistered(entry):
    """Return the name of a class or function that Keras does not find."""
    name, module = entry.get("registered_name"), entry.get("module")
    if entry["class_name"] == "function":
        try:
            keras.saving.deserialize_keras_object(entry)
        except Exception:  # of several types, and not only "could not locate"
            return entry["config"]
    elif name and not re.match(r"(keras|tf_keras|builtins)\b", module or ""):
        if keras.saving.get_registered_object(name) is None:
            return name
    return None
