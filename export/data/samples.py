"""Read the user's samples, and check them against the model's inputs."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from keras_inception_export.data.batching import count
from keras_inception_export.data.images import Images
from keras_inception_export.data.input_arrays import (
    as_array,
    by_input,
    check_array,
)
from keras_inception_export.data.items import Labels
from keras_inception_export.data.labels import numbered
from keras_inception_export.data.preprocessing import PRESETS, Preprocessing
from keras_inception_export.data.reading import reading
from keras_inception_export.data.rows import Rows, Spool, joined
from keras_inception_export.data.sources import Sources
from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.errors import RequestError
from keras_inception_export.logs import logger


@dataclass(frozen=True)
class Samples:
    """Samples that fit a model's inputs, with their labels if there are any.

    `inputs` have one row per sample: arrays, or `Rows`, which are read when
    they are needed; `labels` are classes counted from 0, and `classes` their
    names, as far as they are known.
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
    source: Any,
    specs: Sequence[TensorSpec],
    preprocessing: Preprocessing = PRESETS["none"],
) -> Samples:
    """Return samples that fit the inputs, with labels if there are any.

    All of them are checked now, but those of files and iterables are not kept
    in memory: files are read again whenever samples are needed, and the images
    in archives and what an iterable yields are in a temporary file.

    Args:
        source: one of the following. Labels are integers, or one row of scores
            per sample.

            - an array, for a model of one input;
            - a dictionary of arrays by input name; `x` also names the only
              input, and `y` the labels;
            - a pair of samples and labels;
            - an iterable of batches or of single samples, each in one of the
              forms above, such as a `tf.data.Dataset`;
            - one of the files, folders and patterns that `Sources` reads, an
              image of Pillow, or any number of these. Their labels are `y` of
              a `.npz`; the column of a Parquet file that has one of
              `LABEL_NAMES`; the `.cls` or `.json` file of an image in a tar;
              the names of folders, if there is one per class. Names are
              counted in alphabetical order, unless all are numbers.
        specs: the model's inputs.
        preprocessing: how images become samples. Defaults to `"none"` of
            `PRESETS`: values of 0 to 255.
    """
    is_files, source = has_files(source)
    if is_files:
        return _read(source, specs, preprocessing)
    if not isinstance(source, (Mapping, tuple)) and not hasattr(
        source, "__array__"
    ):
        source = _collect(source, specs)
    source, labels = _separate_labels(source, specs)
    return _checked(source, labels, specs, "the samples")


def has_files(source: Any) -> tuple[bool, Any]:
    """Return whether a source consists of paths or images, and the source."""
    values = source if isinstance(source, (list, tuple)) else [source]
    if isinstance(source, Iterator):
        values = list(itertools.islice(source, 1))
        source = itertools.chain(values, source)
    return bool(values) and all(
        isinstance(value, (str, Path)) or hasattr(value, "convert")
        for value in values
    ), source


def with_labels(samples: Samples, labels: Sequence[str]) -> Samples:
    """Return samples whose classes are counted in the order of the labels.

    Folders of images are in alphabetical order.

    Raises:
        RequestError: if several labels have the name of a class.
    """
    if samples.labels is None or samples.classes is None:
        return samples
    unknown = sorted(set(samples.classes) - set(labels))
    if unknown:
        logger.info(
            "Warning  the classes of the samples are not named like the "
            "labels (%s), and are numbered in their own order",
            ", ".join(unknown[:3]),
        )
        return samples
    twice = [x for x in samples.classes if list(labels).count(x) > 1]
    if twice:
        raise RequestError(
            f'several labels are "{twice[0]}", so it is unknown which of them '
            "the samples of that name have; give each label its own name"
        )
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
    named, unlabelled = False, 0
    for item in source:
        values, found = _separate_labels(item, specs)
        named = isinstance(values, Mapping)
        single = False
        for name, value in (values if named else {"x": values}).items():
            if name in by_name:
                array = as_array(value, origin)
                single = array.ndim < len(by_name[name].shape)
                array = array[None] if single else array
                spool = spools.setdefault(name, Spool(array.shape[1:]))
                joined([np.empty((0, *spool.shape)), array], origin)
                spool.append(check_array(array, by_name[name], origin))
        if found is not None:
            found = as_array([found] if single else found, origin)
            labels.append(np.atleast_1d(found))
        unlabelled += found is None
    if not spools:
        raise RequestError("the samples are empty; give at least one")
    arrays = {name: spool.rows() for name, spool in spools.items()}
    inputs = arrays if named else arrays["x"]
    if unlabelled:
        return inputs
    return inputs, np.asarray(joined(labels, origin))


def _as_classes(labels, number, origin):
    """Return labels as integers, counted from 0."""
    if labels is None:
        return None
    labels = as_array(labels, f"the labels of {origin}")
    numeric = labels.dtype.kind in "iubf"
    finite = numeric and np.isfinite(labels).all()
    if numeric and labels.ndim == 2:
        labels = labels[:, 0] if labels.shape[1] == 1 else labels.argmax(axis=1)
    if labels.shape != (number,):
        raise RequestError(
            f"{origin} must have one label for each of the {number} samples, "
            f"got labels of shape {labels.shape}"
        )
    with np.errstate(invalid="ignore"):  # 1e300
        found = labels.astype("int64") if finite else np.empty(0)
    if not np.array_equal(labels, found):
        raise RequestError(
            f"{origin} must have labels that are integers, the indices of the "
            f"classes from 0; got {labels.dtype}"
        )
    return found


def _checked(source, labels, specs, origin, classes=None) -> Samples:
    """Return arrays, or `Rows`, in the dtypes of the inputs."""
    arrays = by_input(source, specs, origin)
    inputs = {x.name: _typed(arrays[x.name], x, origin) for x in specs}
    number = len(next(iter(inputs.values())))
    return Samples(inputs, _as_classes(labels, number, origin), classes)


def _typed(array, spec, origin):
    if not isinstance(array, Rows):
        return check_array(array, spec, origin)
    rows = Rows(
        array.shape,
        np.dtype(spec.dtype),
        lambda found: check_array(array.read(found), spec, origin),
    )
    with reading(origin, error=RequestError):
        _ = rows.ends  # all of them can be read
    return rows


def _read(source, specs, preprocessing) -> Samples:
    """Return the samples in files, and those of images."""
    origin = str(source) if isinstance(source, (str, Path)) else "the samples"
    images, arrays = Images(), []
    values: list[Any] = []
    names: list[str] = []
    for opened in Sources(source, specs).opened():
        number = len(images)
        if opened.arrays is None:
            for item in opened.items():
                images.append(item)
            number = len(images) - number
        else:
            arrays.append(opened.arrays)
            number = count(opened.arrays)
        with reading(origin, error=RequestError):
            labels = opened.labels() or Labels([None] * number)
            values.extend(labels.values)
        names.extend(labels.names)
    if bool(arrays) == bool(images):
        raise RequestError(
            f"{origin} contains {'arrays and' if arrays else 'no'} images; "
            "expected samples of one kind"
        )
    inputs: Any
    if images:
        fitted = preprocessing.fitted(specs[0])
        inputs = images.rows(fitted, f"the images in {origin}")
    else:
        inputs = {
            name: joined([part[name] for part in arrays], origin)
            for name in arrays[0]
        }
    found, classes = numbered(Labels(values, names), origin)
    return _checked(inputs, found, specs, origin, classes)
