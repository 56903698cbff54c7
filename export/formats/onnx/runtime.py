"""ONNX artifacts, run by ONNX Runtime on the CPU.

Needs numpy and onnxruntime alone.
"""

import io
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.errors import (
    ArtifactError,
    RuntimeMissingError,
)

DTYPES = {
    "tensor(bool)": "bool",
    "tensor(double)": "float64",
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(int16)": "int16",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(int8)": "int8",
    "tensor(uint16)": "uint16",
    "tensor(uint32)": "uint32",
    "tensor(uint64)": "uint64",
    "tensor(uint8)": "uint8",
}
"""The numpy type of each of ONNX Runtime's types."""


QUANTIZATION = "quantization"
"""The key of a file's metadata under which the scale and the zero point of
each quantized input and output stand, as JSON."""


def open_runner(path: Path, threads: int | None = None) -> "OnnxRunner":
    """Open an artifact with ONNX Runtime, on `threads` threads or on all.

    Raises:
        RuntimeMissingError: ONNX Runtime is not installed.
        ArtifactError: the file cannot be read.
    """
    return OnnxRunner(open_session(path, threads))


def open_session(path: Path, threads: int | None = None, appended: bytes = b""):
    """Open an artifact as an `onnxruntime.InferenceSession`.

    Args:
        path: the artifact.
        threads: threads to compute with. Default: all cores.
        appended: more fields of the file's ONNX message; see `onnx_inside`.

    Raises:
        RuntimeMissingError: ONNX Runtime is not installed.
        ArtifactError: the file cannot be read.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise RuntimeMissingError(
            f"{path} needs ONNX Runtime, which is not installed; "
            "pip install onnxruntime"
        ) from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    if threads is not None:
        options.intra_op_num_threads = threads
    # Where the weights lie beside a file that is opened from memory.
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path",
        str(path.parent),
    )
    try:
        return onnxruntime.InferenceSession(
            _joined(path, appended) if appended else path,
            options,
            providers=["CPUExecutionProvider"],
        )
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise ArtifactError(
            f"{path} cannot be opened by ONNX Runtime: {reason}; "
            "export the model again"
        ) from error


def _joined(path: Path, appended: bytes) -> bytes:
    """Return a file's content and more behind it, held once in memory."""
    content = io.BytesIO()
    with open(path, "rb") as file:
        shutil.copyfileobj(file, content, 2**24)
    content.write(appended)
    return content.getvalue()


class OnnxRunner:
    """An ONNX artifact opened by ONNX Runtime.

    Args:
        session: the `onnxruntime.InferenceSession`.
    """

    def __init__(self, session) -> None:
        self._session = session
        metadata = session.get_modelmeta().custom_metadata_map
        steps = json.loads(metadata.get(QUANTIZATION, "{}"))
        self.inputs = _specs(session.get_inputs(), steps)
        self.outputs = _specs(session.get_outputs(), steps)

    def run(
        self,
        feeds: Mapping[str, np.ndarray],
        names: Sequence[str] | None = None,
    ) -> dict[str, np.ndarray]:
        """Compute every output, or those named, from arrays by input name."""
        if names is None:
            names = [spec.name for spec in self.outputs]
        # To ONNX Runtime no name means all.
        values = self._session.run(names, dict(feeds)) if names else []
        return dict(zip(names, values, strict=True))


def _specs(values, steps: dict[str, dict]) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(
            value.name,
            tuple(x if isinstance(x, int) else None for x in value.shape),
            DTYPES[value.type],
            **steps.get(value.name, {}),
        )
        for value in values
    )
