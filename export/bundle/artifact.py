"""Run an exported artifact like a function."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from keras_inception_export.bundle.bundle import check_published
from keras_inception_export.data.batching import count, run
from keras_inception_export.data.reading import reading
from keras_inception_export.data.samples import load_samples
from keras_inception_export.errors import ArtifactError, RequestError
from keras_inception_export.formats.format import Runner
from keras_inception_export.formats.registry import format_of

MAX_INPUT = 2**32
"""Bytes that one input may have: samples are padded or resized to its shape."""


def load_artifact(path: str | Path) -> "Artifact":
    """Open an artifact, such as a SavedModel folder or a `.onnx` file.

    One in a bundle is opened only if its hash is that of the report. A
    SavedModel is a program: open one from elsewhere only if you trust it.

    Args:
        path: the artifact.

    Returns:
        An `Artifact`, which is called like a function.

    Raises:
        RequestError: if there is no such artifact.
        RuntimeMissingError: if its runtime is not installed.
        ArtifactError: if it is damaged, or not the one that was published.

    Example:

        run = load_artifact("dist/digits/model.onnx")
        run(images)["predictions"]
    """
    path = Path(path)
    record = format_of(path)
    check_published(path)
    return Artifact(record.open_runner(path), path)


class Artifact:
    """Computes what the Keras model computes, with the artifact's runtime.

    Attributes:
        inputs: one `TensorSpec` per input, in the declared order.
        outputs: one `TensorSpec` per output, in the declared order.
    """

    def __init__(self, runner: Runner, path: Path) -> None:
        self.inputs = runner.inputs
        self.outputs = runner.outputs
        self._runner = runner
        self._path = path
        shapes = [spec.shape for spec in self.inputs]
        if not all((self.inputs, self.outputs, *shapes)):
            raise ArtifactError(
                f"{path} has no inputs or outputs, or an input without a batch "
                "axis; export the model again"
            )
        for spec in self.inputs:
            size = math.prod(n or 1 for n in spec.shape)
            if size * np.dtype(spec.dtype).itemsize > MAX_INPUT:
                raise ArtifactError(
                    f'{path} has an input "{spec.name}" of shape {spec.shape}, '
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
        if len(arrays) == 1 and isinstance(arrays[0], dict):
            source = arrays[0]
        elif len(arrays) == len(self.inputs):
            names = (spec.name for spec in self.inputs)
            source = dict(zip(names, arrays, strict=True))
        else:
            raise RequestError(
                f"got {len(arrays)} arrays, expected one per input: "
                f"{', '.join(spec.name for spec in self.inputs)}"
            )
        feeds = load_samples(source, self.inputs).inputs
        fixed, number = self.inputs[0].shape[0], count(feeds)
        with reading(self._path, "cannot be run", "export the model again"):
            if fixed is None:
                results = self._runner.run(feeds)
            else:
                results = run(self._runner.run, feeds, fixed)
            outputs = {
                spec.name: spec.dequantize(results[spec.name])
                for spec in self.outputs
            }
            for name, array in outputs.items():
                if array.shape[:1] != (number,):
                    raise ValueError(
                        f"the output {name} of {number} samples has the shape "
                        f"{array.shape}"
                    )
            return outputs
