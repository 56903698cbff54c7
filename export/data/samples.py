"""The user's own data, read and checked against the model's inputs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_inception_export.data.images import (
    IMAGE_SUFFIXES,
    folder_classes,
    read_image,
)
from keras_inception_export.data.npz import UNREADABLE, read_arrays
from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.errors import RequestError, writing


@dataclass(frozen=True)
class Samples:
    """Data that fit a model's inputs, and what they show, if that is known.

    Args:
        inputs: an array an input name, each with one row a sample.
        labels: the class of each sample, counted from 0; or None.
    """

    inputs: Mapping[str, np.ndarray]
    labels: np.ndarray | None = None

    def __len__(self):
        return len(next(iter(self.inputs.values())))

    def take(self, rows) -> "Samples":
        """Return some of the samples."""
        return Samples(
            {name: array[rows] for name, array in self.inputs.items()},
            None if self.labels is None else self.labels[rows],
        )


def load_samples(
    source,
    specs: Sequence[TensorSpec],
    pixel_scale: float = 1.0,
) -> Samples:
    """Return samples that fit the inputs, with labels where there are any.

    Args:
        source: an array; a dictionary of arrays by input name, `x` for one
            input and `y` for labels; a pair of samples and labels; an
            iterable of batches or of single samples, each one of these, such
            as a `tf.data.Dataset`; or a path: `.npy` (one input), `.npz`
            (named like a dictionary), an image, or a folder of images, where
            a folder a class gives the labels: its name if all are numbers,
            else its place in the order of their names.
            Labels are integers, or one row of scores a sample.
        specs: the model's inputs.
        pixel_scale: what pixel values, 0 to 255, are multiplied by.

    Raises:
        RequestError: if the samples do not fit the inputs.
    """
    label = "the samples"
    if isinstance(source, (str, Path)):
        label = str(source)
        source = _read(Path(source), specs, pixel_scale)
    elif not isinstance(source, (Mapping, tuple)) and not hasattr(
        source, "__array__"
    ):
        source = _gather(source, specs)
    source, labels = _apart(source, specs)
    inputs = _by_input(source, specs, label)
    number = len(next(iter(inputs.values())))
    return Samples(inputs, _as_classes(labels, number, label))


def _apart(source, specs):
    """Return samples and labels, or None, of one source."""
    if isinstance(source, tuple):
        if len(source) != 2:
            raise RequestError(
                f"the samples are tuples of {len(source)}, expected pairs of "
                "samples and labels; leave out what is neither"
            )
        return source
    if isinstance(source, Mapping) and "y" in source:
        if "y" not in (spec.name for spec in specs):
            rest = {k: v for k, v in source.items() if k != "y"}
            return rest, source["y"]
    return source, None


def _gather(source, specs):
    """Put batches, or single samples, of an iterable together."""
    if not isinstance(source, Iterable):
        raise RequestError(
            "the samples must be an array, a dictionary of arrays, a pair of "
            "samples and labels, an iterable of these, or a path; got "
            f"{type(source).__name__}"
        )
    parts = [_apart(item, specs) for item in source]
    if not parts:
        raise RequestError("the samples are empty; give at least one")
    if isinstance(parts[0][0], Mapping):
        dimensions = {spec.name: len(spec.shape) for spec in specs}
        dimensions.setdefault("x", len(specs[0].shape))
        inputs = {
            name: _joined([part[0][name] for part in parts], dimensions[name])
            for name in parts[0][0]
            if name in dimensions
        }
    else:
        inputs = _joined([part[0] for part in parts], len(specs[0].shape))
    if any(part[1] is None for part in parts):
        return inputs
    return inputs, _joined([part[1] for part in parts], 1)


def _joined(values, dimensions, label="the samples"):
    """Return batches as one array; of fewer dimensions, they are single."""
    arrays = [_as_array(value, label) for value in values]
    single = arrays[0].ndim < dimensions
    try:
        return np.stack(arrays) if single else np.concatenate(arrays)
    except ValueError:
        shapes = sorted({array.shape[not single :] for array in arrays})
        raise RequestError(
            f"{label} differ in shape: {', '.join(map(str, shapes[:3]))}"
            f"{', …' * (len(shapes) > 3)}; give samples of one shape"
        ) from None


def _as_array(value, label):
    try:
        return np.asarray(value)
    except ValueError as error:  # lists of different lengths
        raise RequestError(f"{label} are no array: {error}") from None


def _as_classes(labels, number, label):
    """Return labels as integers, counted from 0."""
    if labels is None:
        return None
    labels = _as_array(labels, f"the labels of {label}")
    numbers = labels.dtype.kind in "iubf"
    if numbers and labels.ndim == 2:
        labels = labels[:, 0] if labels.shape[1] == 1 else labels.argmax(axis=1)
    if labels.shape != (number,):
        raise RequestError(
            f"{label} must hold a label for each of the {number} samples, got "
            f"labels of shape {labels.shape}"
        )
    if not numbers or not np.array_equal(labels, np.rint(labels)):
        raise RequestError(
            f"{label} must hold labels that are integers, the numbers of the "
            f"classes from 0; got {labels.dtype}"
        )
    return labels.astype("int64")


def _by_input(source, specs, label):
    """Return an array an input name, each known to fit."""
    if not isinstance(source, Mapping):
        if len(specs) != 1:
            raise RequestError(
                f"{label} holds one array, but the model has the inputs "
                f"{_names(specs)}; give a .npz with an array for each"
            )
        source = {specs[0].name: source}
    elif len(specs) == 1 and specs[0].name not in source and "x" in source:
        source = {specs[0].name: source["x"]}
    missing = [spec.name for spec in specs if spec.name not in source]
    if missing:
        raise RequestError(
            f"{label} holds {_quoted(source)}, but the model has the inputs "
            f"{_names(specs)}"
        )
    samples = {
        spec.name: _checked(_as_array(source[spec.name], label), spec, label)
        for spec in specs
    }
    if len({len(array) for array in samples.values()}) > 1:
        counts = {name: len(array) for name, array in samples.items()}
        raise RequestError(
            f"{label} must hold as many samples for each input, got {counts}"
        )
    return samples


def load_inputs(paths, specs, pixel_scale=1.0):
    """Read several files of samples for one call.

    Returns:
        The samples of all files, an array an input name, and a label for
        each sample: its file's name, numbered if the file holds several.

    Raises:
        RequestError: if they do not fit the inputs, or each other.
    """
    parts = [
        load_samples(str(path), specs, pixel_scale).inputs for path in paths
    ]
    labels = []
    for path, part in zip(paths, parts, strict=True):
        name, number = Path(path).name, len(next(iter(part.values())))
        labels += (
            [f"{name}[{i}]" for i in range(number)] if number > 1 else ([name])
        )
    try:
        samples = {
            spec.name: np.concatenate([part[spec.name] for part in parts])
            for spec in specs
        }
    except ValueError:
        raise RequestError(
            "the inputs differ in size and cannot go into one call; give "
            "them one by one"
        ) from None
    return samples, labels


def save_outputs(path, outputs) -> None:
    """Write outputs into one `.npz` file.

    Raises:
        RequestError: if it cannot be written.
    """
    with writing(path), open(path, "wb") as file:
        np.savez(file, **outputs)


def _read(path, specs, scale):
    if not path.exists():
        raise RequestError(f"{path} does not exist")
    if path.is_dir():
        images = sorted(
            p for p in path.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES
        )
        if not images:
            raise RequestError(
                f"{path} holds no images: expected files ending in "
                f"{', '.join(IMAGE_SUFFIXES)}"
            )
        pixels = [read_image(p, specs, scale) for p in images]
        pixels = _joined(pixels, len(specs[0].shape), f"the images in {path}")
        return pixels, folder_classes(path, images)
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return read_image(path, specs, scale)[None]
    if path.suffix not in (".npy", ".npz"):
        raise RequestError(
            f"{path} is no kind of input known here: expected .npy, .npz, an "
            "image or a folder of images"
        )
    try:
        return read_arrays(path)
    except UNREADABLE as error:
        raise RequestError(f"{path} cannot be read: {error}") from error


def _checked(array, spec, label):
    """Return the array in the input's dtype, once it is known to fit."""
    fits = array.ndim == len(spec.shape) and all(
        want in (None, have)
        for want, have in zip(spec.shape[1:], array.shape[1:], strict=True)
    )
    if not fits or not array.size:
        raise RequestError(
            f'{label} holds an array of shape {array.shape} for "{spec.name}"'
            f", expected {_shape_text(spec)}"
        )
    kinds = "fiub" if spec.takes_reals else "iub"
    if array.dtype.kind not in kinds:
        raise RequestError(
            f'{label} holds {array.dtype} for "{spec.name}", expected '
            f"{spec.dtype}"
        )
    if array.dtype.kind == "f":
        if not np.isfinite(array).all():
            raise RequestError(
                f'{label} holds NaN or infinite values for "{spec.name}"'
            )
        array = spec.quantize(array)
    elif spec.dtype.startswith(("int", "uint")):
        limits = np.iinfo(spec.dtype)
        least, most = array.min(), array.max()
        if least < limits.min or most > limits.max:
            raise RequestError(
                f"{label} holds integers from {least} to {most} for "
                f'"{spec.name}", expected {spec.dtype}, from {limits.min} to '
                f"{limits.max}"
            )
    return array.astype(spec.dtype, copy=False)


def _shape_text(spec):
    sizes = ("any" if n is None else str(n) for n in spec.shape[1:])
    return f"(samples, {', '.join(sizes)})"


def _names(specs):
    return _quoted(spec.name for spec in specs)


def _quoted(names):
    return ", ".join(f'"{name}"' for name in names)
