"""Read the internal tensors of a TFLite artifact, as LiteRT computes them."""

import contextlib
import os
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_inception_export.data.tensor_spec import quantized_feed
from keras_inception_export.formats.tflite.runtime import LiteRTRunner


class TFLiteIntermediates:
    """The internal tensors of one artifact."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def names(self) -> dict[str, str]:
        """Return, per readable tensor, the name of the value it represents.

        This is the name of an output, else that of the operation that
        computes it, the first of the fused operations in the tensor's name.
        """
        runner = LiteRTRunner.open(self._path)
        return {
            tensor["name"]: runner.output_names.get(
                tensor["index"], tensor["name"].partition(";")[0]
            )
            for tensor in runner.interpreter.get_tensor_details()
        }

    def read(
        self, names: Sequence[str], feeds: Iterable[Mapping[str, np.ndarray]]
    ) -> Iterator[Iterator[tuple[str, np.ndarray]]]:
        """Yield, per feed, the dequantized tensors that have these names."""
        with warnings.catch_warnings():
            # LiteRT warns that keeping all tensors takes memory.
            warnings.simplefilter("ignore")
            runner = LiteRTRunner.open(
                self._path,
                num_threads=os.cpu_count(),
                experimental_preserve_all_tensors=True,
            )
        for feed in feeds:
            runner.run(quantized_feed(runner.inputs, feed))
            yield _tensors(runner.interpreter, set(names))


def _tensors(
    interpreter: Any, names: Collection[str]
) -> Iterator[tuple[str, np.ndarray]]:
    for tensor in interpreter.get_tensor_details():
        if tensor["name"] in names:
            with contextlib.suppress(ValueError):  # LiteRT keeps no memory
                yield tensor["name"], _real_values(interpreter, tensor)


def _real_values(interpreter: Any, tensor: Mapping[str, Any]) -> np.ndarray:
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
