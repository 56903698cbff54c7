"""OpenVINO IR artifacts, run by OpenVINO on the CPU.

Needs numpy and openvino alone.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from keras_inception_export.data.reading import reading
from keras_inception_export.data.tensor_spec import TensorSpec, check_feeds
from keras_inception_export.formats.format import Runner, importing


def open_runner(path: Path, threads: int | None = None) -> Runner:
    """Open an artifact with OpenVINO, in float32; `None`: on all cores."""
    with importing("openvino", path):
        import openvino
    # Its default is bfloat16 on processors that have it.
    options: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32"}
    if threads is not None:
        options["INFERENCE_NUM_THREADS"] = threads
    with reading(
        path, "cannot be opened by OpenVINO", "export the model again"
    ):
        model = openvino.Core().read_model(path)
        return OpenVINORunner(
            model, openvino.compile_model(model, "CPU", options)
        )


class OpenVINORunner:
    """An artifact as OpenVINO reads it, and as it has compiled it.

    An output that was compiled also has the names of what became one with it,
    such as of a product whose addition of zeros was removed.
    """

    def __init__(self, model: Any, compiled: Any) -> None:
        self._compiled = compiled
        self.inputs = tuple(map(_spec, model.inputs))
        self.outputs = tuple(map(_spec, model.outputs))

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Compute every output from arrays keyed by input name."""
        check_feeds(self.inputs, feeds)
        results = self._compiled(dict(feeds))
        return {x.name: results[i] for i, x in enumerate(self.outputs)}


def _spec(port: Any) -> TensorSpec:
    return TensorSpec(
        port.get_any_name(),
        tuple(
            None if axis.is_dynamic else axis.get_length()
            for axis in port.partial_shape
        ),
        np.dtype(port.element_type.to_dtype()).name,
    ).check()
