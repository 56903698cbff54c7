"""The tensors within a TFLite artifact, as LiteRT computes them."""

import contextlib
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from keras_inception_export.formats.tflite import LiteRTRunner
from keras_inception_export.signature import quantized_feed


def names(path: Path) -> dict[str, str]:
    """Return the tensors that can be read.

    Returns:
        For each tensor the name of the operation that it is the result of:
        its own name lists all that were merged into one, the last first. For
        an output the output's name.
    """
    runner = LiteRTRunner.open(path)
    tensors = runner.interpreter.get_tensor_details()
    return {
        tensor["name"]: runner.output_names.get(
            tensor["index"], tensor["name"].partition(";")[0]
        )
        for tensor in tensors
    }


class Inside:
    """An artifact opened so that tensors within it can be read.

    Args:
        path: the artifact.
        wanted: names of tensors; one that is not there is left out.

    Raises:
        RuntimeMissingError: LiteRT is not installed.
        ArtifactError: the file cannot be read.
    """

    def __init__(self, path: Path, wanted: Sequence[str]) -> None:
        with warnings.catch_warnings():
            # LiteRT warns that all tensors take memory.
            warnings.simplefilter("ignore")
            self._runner = LiteRTRunner.open(
                path,
                num_threads=os.cpu_count(),
                experimental_preserve_all_tensors=True,
            )
        self._wanted = set(wanted)

    def read(
        self, feed: Mapping[str, np.ndarray]
    ) -> Iterator[tuple[str, np.ndarray]]:
        """Yield each tensor, dequantized, for inputs by name."""
        self._runner.run(quantized_feed(self._runner.inputs, feed))
        interpreter = self._runner.interpreter
        for tensor in interpreter.get_tensor_details():
            if tensor["name"] in self._wanted:
                with contextlib.suppress(ValueError):  # it has no memory
                    yield tensor["name"], _real_values(interpreter, tensor)


def _real_values(interpreter, tensor):
    """Return a tensor's values, dequantized if it is quantized."""
    values = interpreter.get_tensor(tensor["index"])
    parameters = tensor["quantization_parameters"]
    scales, zeros = parameters["scales"], parameters["zero_points"]
    if not len(scales):
        return values
    shape = [1] * values.ndim
    if len(scales) > 1:
        shape[parameters["quantized_dimension"]] = -1
    steps = values.astype("float32") - zeros.reshape(shape)
    return steps * scales.reshape(shape)
