"""Check that arrays of samples fit the inputs of a model."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from keras_inception_export.data.rows import Rows
from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.errors import RequestError


def by_input(
    source: Any, specs: Sequence[TensorSpec], origin: str
) -> dict[str, Any]:
    """Return the array, or `Rows`, of each input, once the shapes are checked.

    The source is an array, for a model of one input, or arrays by input name;
    `x` also names the only input. Messages call it `origin`.
    """
    names = [spec.name for spec in specs]
    only, *others = names
    if not isinstance(source, Mapping):
        if others:
            raise RequestError(
                f"{origin} has one array, but the model has the inputs "
                f"{_quoted(names)}; give a .npz with one array per input"
            )
        source = {only: source}
    elif not others and only not in source and "x" in source:
        source = {only: source["x"]}
    if not set(source) >= set(names):
        raise RequestError(
            f"{origin} has the arrays {_quoted(source)}, but the model has the "
            f"inputs {_quoted(names)}; name the arrays like the inputs"
        )
    found = {name: as_array(source[name], origin) for name in names}
    for spec in specs:
        check_shape(found[spec.name].shape, spec, origin)
    counts = {name: len(array) for name, array in found.items()}
    if len(set(counts.values())) > 1:
        raise RequestError(
            f"{origin} must have the same number of samples for each input, "
            f"got {counts}"
        )
    return found


def check_shape(shape: Sequence[int], spec: TensorSpec, origin: str) -> None:
    """Raise RequestError unless samples of a shape fit an input."""
    any_number = replace(spec, shape=(None, *spec.shape[1:]))
    if not any_number.fits(tuple(shape)) or not all(shape):
        sizes = ("any" if n is None else str(n) for n in spec.shape[1:])
        raise RequestError(
            f'{origin} has an array of shape {tuple(shape)} for "{spec.name}", '
            f"expected (samples, {', '.join(sizes)})"
        )


def check_array(array: np.ndarray, spec: TensorSpec, origin: str) -> np.ndarray:
    """Return samples in the dtype of their input, once they are checked."""
    check_shape(array.shape, spec, origin)
    if array.dtype.kind not in ("fiub" if spec.takes_reals else "iub"):
        raise RequestError(
            f'{origin} has {array.dtype} for "{spec.name}", expected '
            f"{spec.dtype}"
        )
    if array.dtype.kind == "f":
        if not np.isfinite(array).all():
            raise RequestError(
                f'{origin} has NaN or infinite values for "{spec.name}", '
                "expected finite numbers"
            )
        array = spec.quantize(array)
    elif spec.dtype.startswith(("int", "uint")):
        limits = np.iinfo(spec.dtype)
        low, high = array.min(), array.max()
        if low < limits.min or high > limits.max:
            raise RequestError(
                f"{origin} has integers from {low} to {high} for "
                f'"{spec.name}", expected {spec.dtype}, from {limits.min} to '
                f"{limits.max}"
            )
    return array.astype(spec.dtype, copy=False)


def as_array(value: Any, origin: str) -> Any:
    """Return `Rows` as they are, and anything else as an array."""
    if isinstance(value, Rows):
        return value
    try:
        return np.asarray(value)
    except ValueError as error:  # lists of different lengths
        raise RequestError(
            f"{origin} cannot become one array: {error}"
        ) from None


def _quoted(names):
    return ", ".join(f'"{name}"' for name in names)
