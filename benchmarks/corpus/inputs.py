"""Inputs that expose errors, and what the live model computes for them.

They share no code with the exporter's probes.
"""

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np

from .case import Case

BATCHES = (2, 1, 3, 5)
GROWTH = ((0, 0), (3, 1), (1, 4), (-1, -2))
"""How much larger than a known size the unknown axes of a batch are."""

INTEGER_RANGES = ((-1000, 1000), (-100, 100)) + tuple(
    (0, n) for n in (1000, 255, 100, 50, 31, 20, 15, *range(11, 0, -1))
)
"""An input of integers gets the first of these that the live model accepts."""

ROUNDING = 2.0**-22
CONDITION = 64.0
RELATIVE = 2e-5
ABSOLUTE = 1e-7
SMALLEST = 1e-9
"""An output may differ by `RELATIVE` of the largest value in its column (in
all columns: `ABSOLUTE`), by `SMALLEST` (what saturates ends in 1e-15 or in 0),
and by `CONDITION` times what it moves by if inputs move by `ROUNDING`."""


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
        feeds = _feeds(case, model, regime, index, limits)
        if (reference := _reference(model, regime, feeds)) is not None:
            found.append(reference)
    if set(case.data) == {x.name for x in model.inputs}:
        feeds = {
            x.name: _as_dtype(case.data[x.name], x.dtype) for x in model.inputs
        }
        if (reference := _reference(model, "Keras's own", feeds)) is not None:
            found.append(reference)
    return found


def run(model: keras.Model, feeds) -> list[np.ndarray]:
    """Return the outputs of a Keras model in their flat order."""
    arrays = [keras.ops.convert_to_tensor(feeds[x.name]) for x in model.inputs]
    packed = keras.tree.pack_sequence_as(model.input, arrays)
    outputs = keras.tree.flatten(model(packed, training=False))
    return [_to_numpy(x) for x in outputs]


def _to_numpy(tensor):
    if "float" in keras.backend.standardize_dtype(tensor.dtype):
        tensor = keras.ops.cast(tensor, "float32")
    return np.asarray(keras.ops.convert_to_numpy(tensor))


def _reference(model, regime, feeds):
    """Return the reference for some inputs, None if they are not accepted."""
    try:
        outputs = run(model, feeds)
        generator = np.random.default_rng(1)
        moved = [
            run(
                model,
                {
                    name: _moved(generator, array)
                    for name, array in feeds.items()
                },
            )
            for _ in range(3)
        ]
    except Exception:
        return None
    tolerances = [
        _tolerance(output, [other[i] for other in moved])
        for i, output in enumerate(outputs)
    ]
    return Reference(regime, feeds, outputs, tolerances)


def _moved(generator, array):
    if array.dtype.kind != "f":
        return array
    # Inputs near 0 move too: a layer may add a constant to them.
    step = ROUNDING * generator.uniform(-1, 1, array.shape)
    moved = array + step * (np.abs(array) + 1)
    return np.where(array == 0, array, moved).astype(array.dtype)


def _tolerance(output, moved):
    """Return the tolerance of each value of an output."""
    if output.dtype.kind not in "f":
        return np.zeros(output.shape)
    rows = tuple(range(output.ndim - 1)) if output.ndim > 1 else None

    def largest(array, axis=rows):
        values = np.where(np.isfinite(array), np.abs(array), 0)
        return values.max(axis=axis, initial=0, keepdims=True)

    values = output.astype("float64")
    with np.errstate(invalid="ignore", over="ignore"):
        condition = np.max([largest(values - x) for x in moved], axis=0)
    tolerance = (
        RELATIVE * largest(values)
        + ABSOLUTE * largest(values, None)
        + SMALLEST
        + CONDITION * condition
    )
    return np.broadcast_to(tolerance, output.shape)


def _integer_limits(case, model):
    if all(x.dtype[:3] not in ("int", "uin") for x in model.inputs):
        return (0, 1)
    for limits in INTEGER_RANGES:
        try:
            run(model, _feeds(case, model, "normal", 0, limits))
        except Exception:
            continue
        return limits
    return (0, 1)


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
        feeds[tensor.name] = _values(
            generator, regime, shape, tensor.dtype, limits, case, tensor.name
        )
    return feeds


def _values(generator, regime, shape, dtype, limits, case, name):
    if dtype == "string":
        words = np.ravel(case.data.get(name, ["a", "b"])).astype(object)
        return generator.choice(words, shape)
    if dtype == "bool":
        return generator.random(shape) < 0.5
    if dtype.startswith(("int", "uint")):
        low, high = limits
        info = np.iinfo(dtype)
        low, high = max(low, info.min), min(high, info.max)
        values = generator.integers(low, high, shape, endpoint=True)
        if regime == "constant":
            values[:] = high
        elif regime == "zeros":
            values[:] = 0
        elif values.size > 1:
            values.flat[0], values.flat[-1] = low, high
        return values.astype(dtype)
    return _as_dtype(REGIMES[regime](generator, shape), dtype)


def _as_dtype(array, dtype):
    if dtype == "bfloat16":
        return np.asarray(keras.ops.cast(np.float32(array), dtype))
    return np.asarray(array).astype(object if dtype == "string" else dtype)
