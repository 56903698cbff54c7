"""Run ONNX artifacts with ONNX Runtime on the CPU.

Needs only numpy and onnxruntime.
"""

import io
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_inception_export.data.reading import reading
from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.formats.format import importing

QUANTIZATION = "quantization"
"""The metadata key for the scale and the zero point of each quantized input
and output, as JSON."""


def open_runner(
    path: Path, threads: int | None = None, appended: bytes = b""
) -> "OnnxRunner":
    """Open an artifact, with bytes appended to it, with ONNX Runtime.

    Raises:
        RuntimeMissingError: ONNX Runtime is not installed.
        ArtifactError: the file cannot be read.
    """
    with importing("onnxruntime", path):
        import onnxruntime
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    if threads is not None:
        options.intra_op_num_threads = threads
    with reading(
        path, "cannot be opened by ONNX Runtime", "export the model again"
    ):
        # The folder of external weights, for a file opened from memory.
        options.add_session_config_entry(
            "session.model_external_initializers_file_folder_path",
            str(path.parent),
        )
        return OnnxRunner(
            onnxruntime.InferenceSession(
                _joined(path, appended) if appended else path,
                options,
                providers=["CPUExecutionProvider"],
            )
        )


def _joined(path: Path, appended: bytes) -> bytes:
    """Return a file's content and `appended`, with one copy in memory."""
    content = io.BytesIO()
    with open(path, "rb") as file:
        shutil.copyfileobj(file, content, 2**24)
    content.write(appended)
    return content.getvalue()


class OnnxRunner:
    """An ONNX artifact opened by ONNX Runtime, as an `InferenceSession`."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._options: Any = None
        metadata = session.get_modelmeta().custom_metadata_map
        steps = json.loads(metadata.get(QUANTIZATION, "{}"))
        self.inputs = tuple(_spec(x, steps) for x in session.get_inputs())
        self.outputs = tuple(_spec(x, steps) for x in session.get_outputs())

    def run(
        self,
        feeds: Mapping[str, np.ndarray],
        names: Sequence[str] | None = None,
    ) -> dict[str, np.ndarray]:
        """Compute outputs from arrays keyed by input name."""
        if names is None:
            names = [spec.name for spec in self.outputs]
        # ONNX Runtime would compute all outputs if none were named.
        values = []
        if names:
            import onnxruntime

            self._options = onnxruntime.RunOptions()
            values = self._session.run(names, dict(feeds), self._options)
        return dict(zip(names, values, strict=True))

    def stop(self) -> None:
        """End `run`, from another thread."""
        if self._options is not None:
            self._options.terminate = True


def _spec(value: Any, steps: dict[str, dict]) -> TensorSpec:
    dtype = value.type.removeprefix("tensor(").removesuffix(")")
    return TensorSpec(
        value.name,
        tuple(x if isinstance(x, int) else None for x in value.shape),
        {"float": "float32", "double": "float64"}.get(dtype, dtype),
        **steps.get(value.name, {}),
    ).check()
