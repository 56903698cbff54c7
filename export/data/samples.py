"""Read the user's samples, and check them against the model's inputs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_inception_export.data import images
from keras_inception_export.data.npz import read_arrays
from keras_inception_export.data.reading import reading
from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.errors import RequestError, check_regular, writing


@dataclass(frozen=True)
class Samples:
    """Samples that fit a model's inputs, with their labels if there are any.

    `inputs` have one row per sample; `labels` are classes counted from 0.
    """

    inputs: Mapping[str, np.ndarray]
    labels: np.ndarray | None = None

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))

    def take(self, rows) -> "Samples":
        """Return some of the samples."""
        return Samples(
            {name: array[rows] for name, array in self.inputs.items()},
            None if self.labels is None else self.labels[rows],
        )


def load_samples(
    source, specs: Sequence[TensorSpec], pixel_scale: float = 1.0
) -> Samples:
    """Return samples that fit the inputs, with labels if there are any.

    Args:
        source: one of the following. Labels are integers, or one row of scores
            per sample.

            - an array, for a model of one input;
            - a dictionary of arrays by input name; `x` also names the only
              input, and `y` the labels;
            - a pair of samples and labels;
            - an iterable of batches or of single samples, each in one of the
              forms above, such as a `tf.data.Dataset`;
            - the path of a `.npy` file (one input), of a `.npz` file (names as
              in a dictionary), of an image, or of a folder of images. If the
              folder contains one folder per class, these give the labels:
              their names if all are numbers, otherwise the index of each name
              in alphabetical order.
        specs: the model's inputs.
        pixel_scale: factor for pixel values, 0 to 255. Defaults to `1.0`.
    """
    origin = "the samples"
    if isinstance(source, (str, Path)):
        origin = str(source)
        source = _read(Path(source), specs, pixel_scale)
    elif not isinstance(source, (Mapping, tuple)) and not hasattr(
        source, "__array__"
    ):
        source = _collect(source, specs)
    source, labels = _separate_labels(source, specs)
    inputs = _by_input(source, specs, origin)
    number = len(next(iter(inputs.values())))
    return Samples(inputs, _as_classes(labels, number, origin))


def _separate_labels(source, specs):
    """Return the samples, and the labels or None, of one source."""
    if isinstance(source, tuple):
        if len(source) != 2:
            raise RequestError(
                f"the samples are tuples of {len(source)}, expected pairs of "
                "samples and labels; leave out everything else"
            )
        return source
    if isinstance(source, Mapping) and "y" in source:
        if "y" not in (spec.name for spec in specs):
            rest = {k: v for k, v in source.items() if k != "y"}
            return rest, source["y"]
    return source, None


def _collect(source, specs):
    """Return the batches, or single samples, of an iterable as one source."""
    if not isinstance(source, Iterable):
        raise RequestError(
            "the samples must be an array, a dictionary of arrays, a pair of "
            "samples and labels, an iterable of these, or a path; got "
            f"{type(source).__name__}"
        )
    parts = [_separate_labels(item, specs) for item in source]
    if not parts:
        raise RequestError("the samples are empty; give at least one")
    if isinstance(parts[0][0], Mapping):
        dimensions = {"x": len(specs[0].shape)}
        dimensions |= {spec.name: len(spec.shape) for spec in specs}
        inputs = {
            name: _concatenate([x[name] for x, _ in parts], dimensions[name])
            for name in parts[0][0]
            if name in dimensions
        }
    else:
        inputs = _concatenate([x for x, _ in parts], len(specs[0].shape))
    if any(labels is None for _, labels in parts):
        return inputs
    return inputs, _concatenate([labels for _, labels in parts], 1)


def _concatenate(values, dimensions, origin="the samples"):
    """Return batches, or single samples of one dimension less, as one array."""
    arrays = [_as_array(value, origin) for value in values]
    single = arrays[0].ndim < dimensions
    try:
        return np.stack(arrays) if single else np.concatenate(arrays)
    except ValueError:
        shapes = sorted({array.shape[not single :] for array in arrays})
        raise RequestError(
            f"{origin} differ in shape: {', '.join(map(str, shapes[:3]))}"
            f"{', …' * (len(shapes) > 3)}; give samples of one shape"
        ) from None


def _as_array(value, origin):
    try:
        return np.asarray(value)
    except ValueError as error:  # lists of different lengths
        raise RequestError(
            f"{origin} cannot become one array: {error}"
        ) from None


def _as_classes(labels, number, origin):
    """Return labels as integers, counted from 0."""
    if labels is None:
        return None
    labels = _as_array(labels, f"the labels of {origin}")
    numeric = labels.dtype.kind in "iubf"
    if numeric and labels.ndim == 2:
        labels = labels[:, 0] if labels.shape[1] == 1 else labels.argmax(axis=1)
    if labels.shape != (number,):
        raise RequestError(
            f"{origin} must have one label for each of the {number} samples, "
            f"got labels of shape {labels.shape}"
        )
    if not numeric or not np.array_equal(labels, np.rint(labels)):
        raise RequestError(
            f"{origin} must have labels that are integers, the indices of the "
            f"classes from 0; got {labels.dtype}"
        )
    return labels.astype("int64")


def _by_input(source, specs, origin):
    """Return one array per input name, each checked against its spec."""
    names = [spec.name for spec in specs]
    if not isinstance(source, Mapping):
        if len(names) != 1:
            raise RequestError(
                f"{origin} has one array, but the model has the inputs "
                f"{_quoted(names)}; give a .npz with one array per input"
            )
        source = {names[0]: source}
    elif len(names) == 1 and names[0] not in source and "x" in source:
        source = {names[0]: source["x"]}
    if not source.keys() >= set(names):
        raise RequestError(
            f"{origin} has the arrays {_quoted(source)}, but the model has the "
            f"inputs {_quoted(names)}; name the arrays like the inputs"
        )
    samples = {
        spec.name: _checked(_as_array(source[spec.name], origin), spec, origin)
        for spec in specs
    }
    counts = {name: len(array) for name, array in samples.items()}
    if len(set(counts.values())) > 1:
        raise RequestError(
            f"{origin} must have the same number of samples for each input, "
            f"got {counts}"
        )
    return samples


def load_inputs(
    paths: Sequence[str | Path],
    specs: Sequence[TensorSpec],
    pixel_scale: float = 1.0,
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Read several files of samples for one call; return also their names.

    A sample's name is that of its file, with an index if the file has several.
    """
    parts = [load_samples(str(path), specs, pixel_scale) for path in paths]
    names = [
        f"{Path(path).name}[{i}]" if len(part) > 1 else Path(path).name
        for path, part in zip(paths, parts, strict=True)
        for i in range(len(part))
    ]
    try:
        samples = {
            spec.name: np.concatenate(
                [part.inputs[spec.name] for part in parts]
            )
            for spec in specs
        }
    except ValueError:
        raise RequestError(
            "the inputs differ in size and cannot go into one call; run them "
            "one by one"
        ) from None
    return samples, names


def save_outputs(path: str | Path, outputs: Mapping[str, Any]) -> None:
    """Write outputs to one `.npz` file."""
    with writing(path), open(path, "wb") as file:
        np.savez(file, **outputs)


def _read(path, specs, scale):
    check_regular(path)
    if path.is_dir():
        files = images.images_in(path)
        if not files:
            raise RequestError(
                f"{path} contains no images: expected files ending in "
                f"{', '.join(images.IMAGE_SUFFIXES)}"
            )
        arrays = [images.read_image(file, specs, scale) for file in files]
        origin = f"the images in {path}"
        pixels = _concatenate(arrays, len(specs[0].shape), origin)
        return pixels, images.folder_classes(path, files)
    if images.is_image(path):
        return images.read_image(path, specs, scale)[None]
    if path.suffix not in (".npy", ".npz"):
        raise RequestError(
            f"{path} is not a recognised input: expected .npy, .npz, an image "
            "or a folder of images"
        )
    with reading(path, error=RequestError):
        return read_arrays(path)


def _checked(array, spec, origin):
    """Return an array in the dtype of its input, once it is checked."""
    fits = array.ndim == len(spec.shape) and all(
        expected in (None, size)
        for expected, size in zip(spec.shape[1:], array.shape[1:], strict=True)
    )
    if not fits or not array.size:
        sizes = ("any" if n is None else str(n) for n in spec.shape[1:])
        raise RequestError(
            f'{origin} has an array of shape {array.shape} for "{spec.name}", '
            f"expected (samples, {', '.join(sizes)})"
        )
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


def _quoted(names):
    return ", ".join(f'"{name}"' for name in names)
