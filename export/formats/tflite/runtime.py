"""Run TFLite artifacts with LiteRT; neither Keras nor TensorFlow is needed."""

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from keras_inception_export.data.reading import reading
from keras_inception_export.data.tensor_spec import TensorSpec, check_feeds
from keras_inception_export.formats.format import Runner, importing

SIGNATURE = "serving_default"

MAX_TENSOR = 2**32
"""Bytes of a tensor of one sample. LiteRT allocates what a file declares."""


class LiteRTRunner:
    """A TFLite file that is run by LiteRT, with XNNPACK where it can.

    Attributes:
        output_names: for the index of an output's tensor the output's name.
    """

    def __init__(self, interpreter: Any):
        for tensor in interpreter.get_tensor_details():
            size = math.prod(map(int, tensor["shape"]))
            if size * np.dtype(tensor["dtype"]).itemsize > MAX_TENSOR:
                raise ValueError(
                    "it declares a tensor of more than "
                    f"{MAX_TENSOR / 1e9:.0f} GB"
                )
        self.interpreter = interpreter
        self._signature = interpreter.get_signature_runner(SIGNATURE)
        inputs = self._signature.get_input_details()
        outputs = self._signature.get_output_details()
        self.inputs = _declared(inputs, interpreter.get_input_details())
        self.outputs = _declared(outputs, interpreter.get_output_details())
        self.output_names = {x["index"]: name for name, x in outputs.items()}

    @classmethod
    def open(cls, path: Path, **options: Any) -> "LiteRTRunner":
        """Open a file with these options of LiteRT's interpreter."""
        with importing("ai-edge-litert", path):
            from ai_edge_litert.interpreter import Interpreter
        with reading(path, "is not a complete TFLite file of this exporter"):
            return cls(Interpreter(model_path=str(path), **options))

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Compute every output from arrays keyed by input name."""
        check_feeds(self.inputs, feeds)
        # The signature resizes each input to the array that it receives.
        outputs = self._signature(**feeds)
        return {spec.name: outputs[spec.name] for spec in self.outputs}


def _declared(named: Mapping[str, Any], listed: list) -> tuple[TensorSpec, ...]:
    """Return the specs of a signature's tensors in the declared order.

    LiteRT sorts the names of `named`; `listed`, the graph's tensors, has the
    declared order.
    """
    order = {entry["index"]: number for number, entry in enumerate(listed)}
    names = sorted(named, key=lambda name: order[named[name]["index"]])
    return tuple(_spec(name, named[name]) for name in names)


def _spec(name: str, details: Mapping[str, Any]) -> TensorSpec:
    sizes = details["shape_signature"]
    scale, zero_point = details["quantization"]
    return TensorSpec(
        name,
        tuple(None if size < 0 else int(size) for size in sizes),
        np.dtype(details["dtype"]).name,
        # LiteRT reports a scale of 0 for a tensor that is not quantized.
        float(scale) or None,
        int(zero_point),
    ).check()


def open_runner(path: Path, threads: int | None = None) -> Runner:
    """Open a file that this exporter wrote; `None`: one thread per core."""
    return LiteRTRunner.open(path, num_threads=threads or os.cpu_count())
