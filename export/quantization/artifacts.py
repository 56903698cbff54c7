"""The record of one artifact that was written."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_inception_export.formats.registry import display_name
from keras_inception_export.quantization.metrics import Measurement


@dataclass(frozen=True)
class WrittenArtifact:
    """One artifact, and how it was made.

    Args:
        format: the name of its format.
        quantization: `"float16"`, `"dynamic"` or `"int8"`; `None` for float32.
        path: the artifact.
        seconds: the time that all attempts to write it took.
        measured: one measurement per output, on the evaluation samples.
        findings: the acceptance criteria that it fails, one sentence each.
        float_layers: for int8, the layers that the runtime computes in float.
        float_cost: what keeping layers in float costs, compared with the
            artifact where none is kept: `bytes` more, and `time`, the ratio
            of the latencies; `None` where no layer is in float.
        equalized_channels: the number of channels scaled before int8.
    """

    format: str
    quantization: str | None
    path: Path
    seconds: float
    measured: Sequence[Measurement] = ()
    findings: Sequence[str] = ()
    float_layers: tuple[str, ...] = ()
    float_cost: dict[str, float] | None = None
    equalized_channels: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return the entries that identify the artifact in a report."""
        return {
            "format": self.format,
            "quantization": self.quantization,
            "path": self.path.name,
        }

    @property
    def name(self) -> str:
        """The name for messages and tables: `onnx`, or `onnx int8`."""
        return display_name(self.format, self.quantization)
