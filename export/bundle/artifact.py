"""Run an exported artifact like a function, or on images and files."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from keras_inception_export.bundle.bundle import (
    REPORT,
    check_published,
    probe_ranges,
    read_report,
    restarted_if_replaced,
)
from keras_inception_export.data.batching import real_outputs
from keras_inception_export.data.images import decoded
from keras_inception_export.data.metadata import Metadata
from keras_inception_export.data.preprocessing import (
    PRESETS,
    Preprocessing,
    make_preprocessing,
)
from keras_inception_export.data.reading import reading
from keras_inception_export.data.samples import load_samples
from keras_inception_export.data.sources import Sources
from keras_inception_export.errors import (
    ArtifactError,
    RequestError,
    RuntimeMissingError,
    check_choice,
)
from keras_inception_export.formats.format import Runner
from keras_inception_export.formats.registry import (
    FASTEST_FIRST,
    FORMATS,
    display_name,
    format_of,
)
from keras_inception_export.logs import logger, printable
from keras_inception_export.prediction.pipeline import Pipeline, Prediction

MAX_INPUT = 2**32
"""Bytes that one input may have: samples are padded or resized to its shape."""


def load_artifact(
    path: str | Path,
    *,
    format: str | None = None,
    scheme: str | None = None,
    threads: int | None = None,
) -> "Artifact":
    """Open an artifact, such as a SavedModel folder or a `.onnx` file.

    An artifact in a bundle is opened only if its hash is that in the report.
    A SavedModel is a program: open one from elsewhere only if you trust it.

    Args:
        path: the artifact, or a bundle, of which the fastest format is opened
            whose runtime is installed.
        format: the format of the bundle's artifact. Defaults to `None`: any.
        scheme: its quantization. Defaults to `None`: float32.
        threads: threads of the runtime. Defaults to `None`: one per core.

    Returns:
        An `Artifact`, which is called like a function.

    Raises:
        RequestError: if there is no such artifact.
        RuntimeMissingError: if its runtime is not installed.
        ArtifactError: if it is damaged, not the one that was published, or
            takes longer than the time limit, as any call may.

    Example:

        run = load_artifact("dist/digits/model.onnx")
        run(images)["predictions"]
    """
    path = Path(path)
    if (path / REPORT).is_file():
        return _from_bundle(path, format, scheme, threads)
    if format or scheme:
        raise RequestError(
            f"{path} is a single artifact; a format and a quantization scheme "
            "choose an artifact of a bundle: leave them out"
        )
    record = format_of(path)
    check_published(path)
    return Artifact(
        record.open(path, threads),
        record.read_metadata(path),
        str(path),
        probe_ranges(path.parent),
    )


@restarted_if_replaced
def _from_bundle(
    folder: Path, name: str | None, scheme: str | None, threads: int | None
) -> "Artifact":
    if name is not None:
        check_choice("format", name, FORMATS)
    entries = {
        (entry["format"], entry.get("quantization")): folder / entry["path"]
        for entry in read_report(folder)["artifacts"]
    }
    names = FASTEST_FIRST if name is None else (name,)
    paths = [entries[x, scheme] for x in names if (x, scheme) in entries]
    if not paths:
        raise RequestError(
            f"{folder} has no {display_name(name or 'artifact', scheme)}; it "
            f"has {', '.join(display_name(*key) for key in entries)}"
        )
    missing = []
    for path in paths:
        try:
            return load_artifact(path, threads=threads)
        except RuntimeMissingError as error:
            missing.append(str(error))
    raise RuntimeMissingError("; ".join(missing))


class Artifact:
    """Computes what the Keras model computes, with the artifact's runtime.

    Attributes:
        inputs: one `TensorSpec` per input, in the declared order.
        outputs: one `TensorSpec` per output, in the declared order.
        metadata: the metadata that is stored in the artifact, or `None`.
    """

    def __init__(
        self,
        runner: Runner,
        metadata: Metadata | None = None,
        name: str = "the artifact",
        ranges: Mapping[str, tuple[float, float]] = MappingProxyType({}),
    ) -> None:
        self.inputs = runner.inputs
        self.outputs = runner.outputs
        self.metadata = metadata
        self._runner = runner
        self._name = name
        self._warned = False
        known = metadata.inputs if metadata else ()
        self._ranges = {
            **ranges,
            **{x.name: x.verified for x in known if x.verified},
        }
        for role in ("inputs", "outputs") if metadata else ():
            names = [spec.name for spec in getattr(runner, role)]
            if [x.name for x in getattr(metadata, role)] != names:
                raise ArtifactError(
                    f"{name} has metadata for other tensors than "
                    f"{', '.join(names)}; export the model again"
                )
        shapes = [spec.shape for spec in self.inputs]
        empty = any(0 in shape for shape in shapes)
        if empty or not all((self.inputs, self.outputs, *shapes)):
            raise ArtifactError(
                f"{name} has no inputs or outputs, or an input without a batch "
                "axis or of size 0; export the model again"
            )
        for spec in self.inputs:
            size = math.prod(n or 1 for n in spec.shape)
            if size * np.dtype(spec.dtype).itemsize > MAX_INPUT:
                raise ArtifactError(
                    f'{name} has an input "{spec.name}" of shape {spec.shape}, '
                    f"more than {MAX_INPUT / 1e9:.0f} GB; export the model "
                    "with a smaller batch size"
                )

    def __call__(self, *arrays: Any) -> dict[str, np.ndarray]:
        """Compute the outputs for any number of samples.

        Args:
            *arrays: one array per input, in order, each with one row per
                sample; or one dictionary of arrays by input name. If the
                artifact has a fixed batch size, samples are cut into batches
                and the last batch is padded. An integer input takes real
                values, which are quantized, or integers as they are.

        Returns:
            A dictionary of the outputs by name, in real values.

        Raises:
            RequestError: if the arrays do not fit the inputs.
        """
        names = [spec.name for spec in self.inputs]
        if len(arrays) == 1 and isinstance(arrays[0], dict):
            source = arrays[0]
        elif len(arrays) == len(names):
            source = dict(zip(names, arrays, strict=True))
        else:
            raise RequestError(
                f"got {len(arrays)} arrays, expected one per input: "
                f"{', '.join(names)}"
            )
        feeds = load_samples(source, self.inputs).inputs
        with reading(self._name, "cannot be run", "export the model again"):
            return real_outputs(
                self._runner.run, feeds, self.inputs, self.outputs
            )

    def predict(
        self, inputs: Any, *, preprocess: Any = None
    ) -> Iterator[Prediction]:
        """Compute the outputs for images, files, folders or arrays.

        Args:
            inputs: the path of an image, a folder of images, a pattern such
                as `"photos/*.jpg"`, a `.npy`, `.npz`, `.parquet` or `.tar`
                file; a Pillow image; an array of samples; or an iterable
                of these, which is read only as results are consumed.
            preprocess: how images become inputs: `"none"`, `"unit"`, `"tf"`,
                `"torch"`, `"caffe"`; a `Preprocessing`, or a dictionary or
                `.json` file of its fields. Defaults to `None`: as the artifact
                says.

        Returns:
            An iterator over one `Prediction` per image or sample, in order. One
            that cannot be read or computed has an `error` and no outputs.

        Raises:
            RequestError: if an input does not exist or does not fit, or if the
                artifact does not say how images become inputs.

        Example:

            artifact = load_artifact("dist/digits")
            for found in artifact.predict("photos"):
                print(found.name, found.error or found.top(1))
        """
        sources = Sources(inputs, self.inputs, preprocess)
        batches = self.pipeline(sources.images, preprocess)(sources)
        return (prediction for batch in batches for prediction in batch)

    def pipeline(self, images: bool | None, preprocess: Any = None) -> Pipeline:
        """Return what predicts a stream of items.

        `images` says whether some are images (`None`: perhaps); `preprocess`
        is as for `predict`.

        Raises:
            RequestError: if it is not known how images become inputs.
        """
        preprocessing = None
        if images is not False:
            preprocessing = self._preprocessing(preprocess, images)

        outputs = self.metadata.outputs if self.metadata else ()
        return Pipeline(
            *(self._runner.run, self.inputs, self.outputs),
            lambda item: decoded(item, self._needed(preprocessing)),
            {x.name: tuple(map(printable, x.labels or ())) for x in outputs},
            self._known_ranges(),
        )

    def _known_ranges(self) -> dict[str, tuple[float, float]]:
        """Return the ranges of the verification; say once if one is unknown."""
        reals = {spec.name for spec in self.inputs if spec.takes_reals}
        unknown = reals - self._ranges.keys()
        if unknown and not self._warned:
            self._warned = True
            logger.warning(
                "Warning  %s does not say on which values it was verified, so "
                "inputs in another range are not noticed; export the model "
                "again, or keep the artifact in its bundle",
                self._name,
            )
        return self._ranges

    def _preprocessing(
        self, given: Any, required: bool | None
    ) -> Preprocessing | None:
        """Return how images become the input, as given or as known."""
        if given is not None:
            made = make_preprocessing(given)
        else:
            made = self.metadata and self.metadata.inputs[0].preprocessing
        if isinstance(made, Mapping):
            names = [spec.name for spec in self.inputs]
            for name in made:
                check_choice("preprocessing: input", name, names)
            made = made.get(names[0])
        if made is not None and len(self.inputs) == 1:
            return made.fitted(self.inputs[0])
        return self._needed(None) if required else None

    def _needed(self, preprocessing: Preprocessing | None) -> Preprocessing:
        if len(self.inputs) > 1:
            names = ", ".join(f'"{spec.name}"' for spec in self.inputs)
            raise RequestError(
                f"{self._name} has the inputs {names}, so one image is not "
                "enough; give a .npz with one array per input"
            )
        if preprocessing is None:
            raise RequestError(
                f"{self._name} does not say how pixels become its input; give "
                f"--preprocess {'|'.join(PRESETS)} (unit: 0 to 1), or "
                "export the model again with it"
            )
        return preprocessing
