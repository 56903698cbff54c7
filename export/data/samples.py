"""Read the user's samples, and check them against the model's inputs."""

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from keras_inception_export.data import images
from keras_inception_export.data.npz import open_rows
from keras_inception_export.data.preprocessing import PRESETS, Preprocessing
from keras_inception_export.data.reading import reading
from keras_inception_export.data.rows import Rows, Spool
from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.errors import RequestError, check_regular
from keras_inception_export.logs import logger


@dataclass(frozen=True)
class Samples:
    """Samples that fit a model's inputs, with their labels if there are any.

    `inputs` have one row per sample: arrays, or `Rows`, which are read when
    they are needed; `labels` are classes counted from 0, and `classes` their
    names, as far as folders have them.
    """

    inputs: Mapping[str, Any]
    labels: np.ndarray | None = None
    classes: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))

    def take(self, rows) -> "Samples":
        """Return some of the samples."""
        return Samples(
            {
                name: array.take(rows)
                if isinstance(array, Rows)
                else array[rows]
                for name, array in self.inputs.items()
            },
            None if self.labels is None else self.labels[rows],
            self.classes,
        )


def load_samples(
    source,
    specs: Sequence[TensorSpec],
    preprocessing: Preprocessing = PRESETS["none"],
) -> Samples:
    """Return samples that fit the inputs, with labels if there are any.

    Those of files and iterables are checked now, but not kept in memory:
    files are read again whenever samples are needed, and what an iterable
    yields is written to a temporary file.

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
        preprocessing: how images become samples. Defaults to `"none"` of
            `PRESETS`: values of 0 to 255.
    """
    origin, classes = "the samples", None
    if isinstance(source, (str, Path)):
        origin = str(source)
        source, classes = _read(Path(source), specs, preprocessing)
    elif not isinstance(source, (Mapping, tuple)) and not hasattr(
        source, "__array__"
    ):
        source = _collect(source, specs)
    source, labels = _separate_labels(source, specs)
    inputs = _by_input(source, specs, origin)
    number = len(next(iter(inputs.values())))
    return Samples(inputs, _as_classes(labels, number, origin), classes)


def with_labels(samples: Samples, labels: Sequence[str]) -> Samples:
    """Return samples whose classes are counted in the order of the labels.

    The folders of images are in alphabetical order.
    """
    if samples.labels is None or samples.classes is None:
        return samples
    unknown = sorted(set(samples.classes) - set(labels))
    if unknown:
        logger.info(
            "Warning  the folders of the samples are not named like the "
            "labels (%s), and are counted in alphabetical order",
            ", ".join(unknown[:3]),
        )
        return samples
    numbers = np.array([labels.index(name) for name in samples.classes])
    return replace(
        samples, labels=numbers[samples.labels], classes=tuple(labels)
    )


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
    by_name = {"x": specs[0]} | {spec.name: spec for spec in specs}
    spools: dict[str, Spool] = {}
    origin, labels = "the samples", []
    named = False
    for item in source:
        values, found = _separate_labels(item, specs)
        labels.append(found)
        named = isinstance(values, Mapping)
        for name, value in (values if named else {"x": values}).items():
            if name in by_name:
                array = _as_array(value, origin)
                if array.ndim < len(by_name[name].shape):
                    array = array[None]
                spool = spools.setdefault(name, Spool(array.shape[1:]))
                if spool.shape != array.shape[1:]:
                    raise _differ(origin, (spool.shape, array.shape[1:]))
                spool.append(check_array(array, by_name[name], origin))
    if not spools:
        raise RequestError("the samples are empty; give at least one")
    arrays = {name: spool.rows() for name, spool in spools.items()}
    inputs = arrays if named else arrays["x"]
    if any(label is None for label in labels):
        return inputs
    return inputs, _concatenate(labels, 1)


def _concatenate(values, dimensions, origin="the samples"):
    """Return batches, or single samples of one dimension less, as one array."""
    arrays = [_as_array(value, origin) for value in values]
    single = arrays[0].ndim < dimensions
    try:
        return np.stack(arrays) if single else np.concatenate(arrays)
    except ValueError:
        raise _differ(origin, {x.shape[not single :] for x in arrays}) from None


def _differ(origin, shapes):
    return RequestError(
        f"{origin} differ in shape: {', '.join(map(str, sorted(shapes)[:3]))}"
        f"{', …' * (len(shapes) > 3)}; give samples of one shape"
    )


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


def array_names(
    source: Collection[str] | None, specs: Sequence[TensorSpec], origin: str
) -> dict[str, str]:
    """Return, per input, the name of its array in a source of arrays.

    Args:
        source: the names of its arrays; `None`: it is one array without a name.
        specs: the model's inputs.
        origin: what the source is called in messages.
    """
    names = [spec.name for spec in specs]
    if source is None:
        if len(names) != 1:
            raise RequestError(
                f"{origin} has one array, but the model has the inputs "
                f"{_quoted(names)}; give a .npz with one array per input"
            )
        return {names[0]: names[0]}
    if len(names) == 1 and names[0] not in source and "x" in source:
        return {names[0]: "x"}
    if not set(source) >= set(names):
        raise RequestError(
            f"{origin} has the arrays {_quoted(source)}, but the model has the "
            f"inputs {_quoted(names)}; name the arrays like the inputs"
        )
    return {name: name for name in names}


def _by_input(source, specs, origin):
    """Return one array per input name, each checked against its spec."""
    named = isinstance(source, Mapping)
    keys = array_names(source if named else None, specs, origin)
    if not named:
        source = dict.fromkeys(keys, source)
    samples = {
        spec.name: _checked(source[keys[spec.name]], spec, origin)
        for spec in specs
    }
    counts = {name: len(array) for name, array in samples.items()}
    if len(set(counts.values())) > 1:
        raise RequestError(
            f"{origin} must have the same number of samples for each input, "
            f"got {counts}"
        )
    return samples


def _checked(array, spec, origin):
    """Return an array, or `Rows`, in the dtype of its input."""
    if not isinstance(array, Rows):
        return check_array(_as_array(array, origin), spec, origin)
    check_shape(array.shape, spec, origin)
    rows = Rows(
        array.shape,
        np.dtype(spec.dtype),
        lambda found: check_array(array.read(found), spec, origin),
    )
    with reading(origin, error=RequestError):
        _ = rows.ends  # all of them can be read
    return rows


def _read(path, specs, preprocessing):
    """Return the source in a file or folder, and the names of its classes."""
    check_regular(path)
    if path.is_dir():
        with reading(path, error=RequestError):
            files = list(images.images_in(path))
        if not files:
            raise RequestError(
                f"{path} contains no images: expected files ending in "
                f"{', '.join(images.IMAGE_SUFFIXES)}"
            )
        pixels = _image_rows(path, files, specs, preprocessing)
        labels, classes = images.folder_classes(path, files) or (None, None)
        return (pixels, labels), classes
    if images.is_image(path):
        return images.read_image(path, specs, preprocessing)[None], None
    if path.suffix not in (".npy", ".npz"):
        raise RequestError(
            f"{path} is not a recognised input: expected .npy, .npz, an image "
            "or a folder of images"
        )
    with reading(path, error=RequestError):
        return open_rows(path), None


def _image_rows(path, files, specs, preprocessing):
    """Return the images, which are decoded when they are needed."""
    origin = f"the images in {path}"
    first = images.read_image(files[0], specs, preprocessing)
    files = np.array([str(file) for file in files], object)

    def decode(file):
        return images.read_image(Path(file), specs, preprocessing)

    def read(rows):
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            arrays = [first, *pool.map(decode, files[rows])]
        return _concatenate(arrays, len(specs[0].shape), origin)[1:]

    return Rows((len(files), *first.shape), first.dtype, read)


def check_shape(shape: Sequence[int], spec: TensorSpec, origin: str) -> None:
    """Raise RequestError unless samples of a shape fit an input."""
    fits = len(shape) == len(spec.shape) and all(
        expected in (None, size)
        for expected, size in zip(spec.shape[1:], shape[1:], strict=True)
    )
    if not fits or not all(shape):
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


def _quoted(names):
    return ", ".join(f'"{name}"' for name in names)
