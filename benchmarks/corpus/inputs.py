"""Inputs that expose errors, and what the live model computes for them.

They share no code with the exporter's probes.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import keras
import numpy as np

from .case import Case

BATCHES = (2, 1, 3, 5)
GROWTH = ((0, 0), (3, 1), (1, 4), (-1, -2))
"""How much larger than a known size the unknown axes of a batch are."""

INTEGER_RANGES = ((-1000, 1000), (-100, 100)) + tuple(
    (0, n) for n in (1000, 999, 255, 100, 99, 50, 49, 31, *range(20, 0, -1))
)
"""An input of integers gets the first of these that the live model accepts."""

ROUNDING = 2.0**-18
CONDITION = 4.0
RELATIVE = 2e-5  # more than `CONDITION * ROUNDING`
SMALLEST = 1e-9
"""An output may differ by `RELATIVE` of the largest value in its column, by
`SMALLEST` (what saturates ends in 1e-15 or in 0), and by `CONDITION` times what
it moves by if inputs and weights move by `ROUNDING`: enough that the move is
not itself rounded away within the model."""
SATURATED = 2.0**-22
"""What an output may differ by if all its columns reach 1 on other inputs, and
less if they reach less. ONNX Runtime's sigmoid is off by 1.4e-7 at -12, and
is 0 below -18, where the exact value is 1.5e-8."""
LOW_PRECISION = {"float16": 2.0**-11, "bfloat16": 2.0**-8}
"""Instead of `ROUNDING`, for models that compute in these dtypes: the live
model rounds to them, and an artifact in float32 does not."""


def _columns(generator, shape):
    return generator.normal(0, 1, shape) * np.logspace(-2, 3, shape[-1])


def _gaps(generator, shape):
    rows = generator.random((*shape[:2], *(1,) * (len(shape) - 2))) < 0.5
    return generator.normal(0, 1, shape) * rows


REGIMES: dict[str, Callable] = {
    "normal": lambda rng, shape: rng.normal(0, 1, shape),
    "from 0 to 1": lambda rng, shape: rng.random(shape),
    "negative": lambda rng, shape: -3 * np.abs(rng.normal(0, 1, shape)),
    "large": lambda rng, shape: rng.normal(0, 300, shape),
    "pixels": lambda rng, shape: rng.integers(0, 256, shape),
    "zeros": lambda rng, shape: np.zeros(shape),
    "constant": lambda rng, shape: np.full(shape, 0.7),
    "zeros in between": _gaps,
    "columns": _columns,
}
"""For each kind of values, a function of a generator and a shape."""


@dataclass(frozen=True)
class Reference:
    """Inputs of one regime, what the live model computes, and tolerances."""

    regime: str
    feeds: dict[str, np.ndarray]
    outputs: list[np.ndarray]
    tolerances: list[np.ndarray]


def references(case: Case, model: keras.Model) -> list[Reference]:
    """Return the inputs that the live model accepts, with its outputs."""
    found = []
    limits = _integer_limits(case, model)
    for index, regime in enumerate(REGIMES):
        if case.regimes and regime not in case.regimes:
            continue
        feeds = _feeds(case, model, regime, index, limits)
        if (reference := _reference(model, regime, feeds)) is not None:
            found.append(reference)
    if set(case.data) == {x.name for x in model.inputs}:
        feeds = {
            x.name: _as_dtype(case.data[x.name], x.dtype) for x in model.inputs
        }
        if (reference := _reference(model, "Keras's own", feeds)) is not None:
            found.append(reference)
    return [_where_saturated(reference, found) for reference in found]


def _where_saturated(reference, found):
    """Return a reference with the tolerance of activations that saturate."""
    tolerances = [
        tolerance
        if output.dtype.kind != "f"
        else tolerance
        + SATURATED * min(1, max(_largest(x.outputs[index]) for x in found))
        for index, (output, tolerance) in enumerate(
            zip(reference.outputs, reference.tolerances, strict=True)
        )
    ]
    return replace(reference, tolerances=tolerances)


def _largest(array):
    """Return the smallest of the columns' largest values."""
    sizes = np.where(np.isfinite(array), np.abs(array), 0)
    rows = tuple(range(array.ndim - 1))
    return sizes.max(axis=rows, initial=0).min(initial=1)


def run(model: keras.Model, feeds) -> list[np.ndarray]:
    """Return the outputs of a Keras model in their flat order."""
    arrays = [keras.ops.convert_to_tensor(feeds[x.name]) for x in model.inputs]
    packed = keras.tree.pack_sequence_as(model.input, arrays)
    outputs = keras.tree.flatten(model(packed, training=False))
    return [_to_numpy(x) for x in outputs]


def _finite(array):
    return np.isfinite(array) if array.dtype.kind == "f" else array == array


def _to_numpy(tensor):
    if "float" in keras.backend.standardize_dtype(tensor.dtype):
        tensor = keras.ops.cast(tensor, "float32")
    return np.asarray(keras.ops.convert_to_numpy(tensor))


def _reference(model, regime, feeds):
    """Return the reference for some inputs, None if they are not accepted."""
    try:
        outputs = run(model, feeds)
    except Exception:
        return None
    if not any(_finite(output).any() for output in outputs):
        return None
    moved = [_moved_outputs(model, feeds, seed) for seed in range(3)]
    relative = max(RELATIVE, CONDITION * _rounding(model))
    tolerances = [
        tolerance(output, [other[i] for other in moved], relative)
        for i, output in enumerate(outputs)
    ]
    return Reference(regime, feeds, outputs, tolerances)


def _moved_outputs(model, feeds, seed):
    """Return the outputs after a rounding of all inputs and weights."""
    generator = np.random.default_rng(seed)
    step = _rounding(model)
    feeds = {
        name: _moved(generator, array, step) for name, array in feeds.items()
    }
    floats = [x for x in model.weights if x.dtype == "float32"]
    values = [keras.ops.convert_to_numpy(x) for x in floats]
    for variable, value in zip(floats, values, strict=True):
        variable.assign(_moved(generator, value, step))
    try:
        return run(model, feeds)
    finally:
        for variable, value in zip(floats, values, strict=True):
            variable.assign(value)


def _rounding(model):
    dtypes = {layer.compute_dtype for layer in model._flatten_layers()}
    return max([ROUNDING, *(LOW_PRECISION.get(x, 0) for x in dtypes)])


def _moved(generator, array, step):
    if array.dtype.kind != "f":
        return array
    # Inputs near 0 move too: a layer may add a constant to them.
    steps = step * generator.uniform(-1, 1, array.shape)
    moved = array + steps * (np.abs(array) + 1)
    return np.where(array == 0, array, moved).astype(array.dtype)


def tolerance(output, moved, relative=RELATIVE):
    """Return the tolerance of each value of an output."""
    if output.dtype.kind not in "f":
        return np.zeros(output.shape)
    rows = tuple(range(output.ndim - 1)) if output.ndim > 1 else None
    values = output.astype("float64")
    sizes = np.where(np.isfinite(values), np.abs(values), 0)
    with np.errstate(invalid="ignore", over="ignore"):
        moves = np.nan_to_num(np.max([np.abs(values - x) for x in moved], 0))
    # Where a value jumps, only that value may: hence the median of the others.
    typical = np.median(moves, axis=rows, keepdims=True)
    tolerance = (
        relative * sizes.max(axis=rows, initial=0, keepdims=True)
        + SMALLEST
        + CONDITION * np.maximum(moves, typical)
    )
    return np.broadcast_to(tolerance, output.shape)


def _integer_limits(case, model):
    """Return the widest range of each input of integers that is accepted."""
    names = [x.name for x in model.inputs if "int" in x.dtype]
    limits = dict.fromkeys(names, (0, 1))
    for name in names:
        for wider in INTEGER_RANGES:
            tried = limits | {name: wider}
            with contextlib.suppress(Exception):
                run(model, _feeds(case, model, "normal", 0, tried))
                limits = tried
                break
    return limits


def _feeds(case, model, regime, index, limits):
    generator = np.random.default_rng(index)
    feeds = {}
    for tensor in model.inputs:
        known = case.shapes.get(tensor.name, tensor.shape)
        growth = GROWTH[index % len(GROWTH)]
        shape = tuple(
            BATCHES[index % len(BATCHES)]
            if size is None and axis == 0
            else max(1, known[axis] + growth[axis % 2])
            if size is None
            else size
            for axis, size in enumerate(tensor.shape)
        )
        if tensor.dtype == "string":
            words = np.ravel(case.data.get(tensor.name, ["a", "b"]))
            values = generator.choice(words.astype(object), shape)
        elif "int" in tensor.dtype:
            values = _integers(generator, regime, shape, limits[tensor.name])
            info = np.iinfo(tensor.dtype)
            values = values.clip(info.min, info.max)
        elif tensor.dtype == "bool":
            values = generator.random(shape) < 0.5
        else:
            values = REGIMES[regime](generator, shape)
        feeds[tensor.name] = _as_dtype(values, tensor.dtype)
    return feeds


def _integers(generator, regime, shape, limits):
    """Return integers over a whole range, both ends included."""
    low, high = limits
    if regime in ("zeros", "constant"):
        return np.full(shape, 0 if regime == "zeros" else high)
    values = generator.integers(low, high, shape, endpoint=True)
    if values.size > 1:
        values.flat[0], values.flat[-1] = low, high
    return values


def _as_dtype(array, dtype):
    if dtype == "bfloat16":
        return np.asarray(keras.ops.cast(np.float32(array), dtype))
    return np.asarray(array).astype(object if dtype == "string" else dtype)
