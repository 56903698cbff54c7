"""The layer configurations in Keras's own tests, which its wheel contains.

The tests run with a `run_layer_test` that only records its arguments, so that
nothing of them is copied here, and a newer Keras brings its own configurations.
"""

import contextlib
import importlib
import types
import unittest
import zlib
from functools import partial
from pathlib import Path

import keras
import numpy as np

from .case import Case

RECORDER = "run_layer_test"
PACKAGE = "keras.src.layers"


def cases() -> list[Case]:
    """Return every distinct configuration, in the order of Keras's tests.

    The first configuration of a class that can also be built for any size
    is added once more, with its sizes unknown.
    """
    found: dict[str, Case] = {}
    counts: dict[str, int] = {}
    sizeless = set()
    for layer_class, init_kwargs, inputs, call_kwargs in _recorded():
        row = layer_class.__name__
        build = partial(_build, layer_class, init_kwargs, inputs, call_kwargs)
        given = {k: v for k, v in init_kwargs.items() if v is not None}
        text = (
            f"{row}({_listed({**given, **call_kwargs})}) on "
            f"{_text(keras.tree.map_structure(_Input.text, inputs))}"
        )
        if text in found:
            continue
        flat = keras.tree.flatten(inputs)
        shapes = {f"x{i}": x.shape for i, x in enumerate(flat)}
        data = {
            f"x{i}": x.data for i, x in enumerate(flat) if x.data is not None
        }
        number = counts[row] = counts.get(row, -1) + 1
        make = partial(Case, row=row, shapes=shapes, data=data)
        found[text] = make(name=f"{row}.{number}", text=text, build=build)
        if row not in sizeless and builds(partial(build, sizes=False)):
            sizeless.add(row)
            found[f"{text} of any size"] = make(
                name=f"{row}.{number}.any",
                text=f"{text} of any size",
                build=partial(build, sizes=False),
            )
    return list(found.values())


class _Input:
    """The shape and the dtype of an input, and the test's data, if any."""

    def __init__(self, shape, dtype, data=None):
        self.shape = tuple(shape)
        self.dtype = "float32" if dtype == "float64" else dtype
        self.data = data

    def text(self) -> str:
        shape = ", ".join(map(str, self.shape))
        return f"{self.dtype} ({shape})"


def _recorded():
    """Run Keras's tests of layers; return the arguments of each layer test."""
    from keras.src import testing

    calls = []

    def record(test, layer_cls, init_kwargs, *shape, **options):
        if options.get("input_ragged"):
            return
        if shape:
            options["input_shape"] = shape[0]
        inputs = _inputs(options)
        if inputs is None:
            return
        call_kwargs = dict(options.get("call_kwargs") or {})
        call_kwargs.pop("training", None)
        calls.append((layer_cls, init_kwargs or {}, inputs, call_kwargs))

    root = Path(keras.__file__).parent.joinpath("src", "layers")
    original = getattr(testing.TestCase, RECORDER)
    setattr(testing.TestCase, RECORDER, record)
    try:
        for path in sorted(root.rglob("*_test.py")):
            if RECORDER in path.read_text(encoding="utf-8"):
                steps = path.relative_to(root).with_suffix("").parts
                with contextlib.suppress(ImportError):  # such as of grain
                    _run_tests(
                        importlib.import_module(".".join((PACKAGE, *steps)))
                    )
    finally:
        setattr(testing.TestCase, RECORDER, original)
    return calls


def _run_tests(module):
    """Run the tests of a module that test a layer as a whole."""
    keras.saving.get_custom_objects().update(
        (name, value)
        for name, value in vars(module).items()
        if isinstance(value, type)
        and issubclass(value, keras.Layer)
        and value.__module__ == module.__name__
    )
    image_data_format = keras.config.image_data_format()
    suite = unittest.TestSuite()
    for group in unittest.defaultTestLoader.loadTestsFromModule(module):
        for test in group:
            if _mentions(getattr(type(test), test._testMethodName), RECORDER):
                suite.addTest(test)
    suite.run(unittest.TestResult())
    keras.config.set_image_data_format(image_data_format)
    keras.config.set_dtype_policy("float32")


def _mentions(function, name) -> bool:
    """Whether a function, or one that it decorates, uses an attribute."""
    if name in function.__code__.co_names:
        return True
    return any(
        isinstance(cell.cell_contents, types.FunctionType)
        and _mentions(cell.cell_contents, name)
        for cell in function.__closure__ or ()
    )


def _inputs(options):
    """Return the inputs in the structure in which the layer takes them."""
    data, shape = options.get("input_data"), options.get("input_shape")
    if data is not None:
        return keras.tree.map_structure(_input_of, data)
    if shape is None:
        return None
    dtype = options.get("input_dtype")
    if dtype is None:
        dtype = keras.tree.map_shape_structure(lambda _: "float32", shape)
    if isinstance(shape, dict):
        return {
            name.removesuffix("_shape"): _Input(sizes, dtype[name])
            for name, sizes in shape.items()
        }
    if isinstance(dtype, str):
        return keras.tree.map_shape_structure(
            lambda sizes: _Input(sizes, dtype), shape
        )
    return type(shape)(map(_Input, shape, dtype))


def _input_of(value):
    if hasattr(value, "indices") and hasattr(value, "values"):
        value = keras.ops.convert_to_tensor(value, sparse=False)
    array = np.asarray(value)
    if array.dtype.kind in "SUO":
        return _Input(array.shape, "string", array)
    return _Input(array.shape, array.dtype.name, array)


def _build(layer_class, init_kwargs, inputs, call_kwargs, sizes=True):
    """Return a model of one layer; of any batch size, if that is possible.

    `sizes=False`: all but the last axis, or the channels, are of any size.
    """
    if sizes:
        try:
            return _model(layer_class, init_kwargs, inputs, call_kwargs, None)
        except Exception:
            return _model(layer_class, init_kwargs, inputs, call_kwargs, 0)
    first = init_kwargs.get("data_format") == "channels_first"
    return _model(
        layer_class, init_kwargs, inputs, call_kwargs, None, 1 if first else -1
    )


def _model(layer_class, init_kwargs, inputs, call_kwargs, batch, kept=None):
    def symbol(spec):
        shape = list(spec.shape)
        if kept is not None:
            if len(shape) < 3:
                raise ValueError("there is no axis between batch and channels")
            shape = [None] * len(shape)
            shape[kept] = spec.shape[kept]
        if batch is None:
            shape[0] = None
        number = len(symbols)
        symbols.append(
            keras.Input(batch_shape=shape, dtype=spec.dtype, name=f"x{number}")
        )
        return symbols[-1]

    symbols: list = []
    arguments = keras.tree.map_structure(symbol, inputs)
    layer = layer_class(**init_kwargs)
    if hasattr(layer, "adapt") and not layer.built:
        _adapt(layer, inputs)
    if isinstance(arguments, dict):
        outputs = layer(**arguments, **call_kwargs)
    else:
        outputs = layer(arguments, **call_kwargs)
    flat = keras.tree.flatten(outputs)
    return keras.Model(
        symbols if len(symbols) > 1 else symbols[0],
        flat if len(flat) > 1 else flat[0],
    )


def _adapt(layer, inputs):
    """Adapt a preprocessing layer that was given no statistics."""
    (spec,) = keras.tree.flatten(inputs)
    if getattr(layer, "input_mean", None) is None and spec.data is not None:
        layer.adapt(spec.data)


def builds(build) -> bool:
    """Whether a model can be built."""
    try:
        return build() is not None
    except Exception:
        return False


def _listed(arguments) -> str:
    return ", ".join(f"{k}={_text(v)}" for k, v in arguments.items())


def _text(value) -> str:
    """Return a short text of an argument, the same in every process."""
    if isinstance(value, dict):
        return "{" + _listed(value) + "}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_text, value))}]"
    if isinstance(value, keras.Layer):
        return f"{type(value).__name__}({_listed(_own_config(value))})"
    if hasattr(value, "shape"):
        array = np.asarray(value)
        if array.size <= 8:
            return str(array.tolist())
        return f"{array.shape}#{zlib.crc32(array.tobytes()):08x}"
    if isinstance(value, (int, float, bool, str, type(None))):
        return str(value)
    return getattr(value, "__name__", type(value).__name__)


def _own_config(layer):
    """Return the arguments of a layer that distinguish it from others."""
    signature = ("units", "filters", "kernel_size", "activation", "state_size")
    try:
        config = layer.get_config()
    except NotImplementedError:
        config = vars(layer)
    return {name: config[name] for name in signature if name in config}
