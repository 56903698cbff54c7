"""Write one quantized artifact and measure it on the evaluation samples."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from keras_inception_export.bundle.artifact import load_artifact
from keras_inception_export.errors import (
    ArtifactError,
    ConversionError,
    TimeLimitError,
    reason_of,
)
from keras_inception_export.formats.quantizer import Quantizer
from keras_inception_export.formats.registry import FORMATS, display_name
from keras_inception_export.formats.schemes import PREPARED_SCHEME
from keras_inception_export.logs import logger
from keras_inception_export.model.inference_model import InferenceModel
from keras_inception_export.model.pixels import with_real_pixels
from keras_inception_export.options import ExportOptions
from keras_inception_export.quantization.equalization import equalize
from keras_inception_export.quantization.evaluation import Evaluation
from keras_inception_export.quantization.gptq import round_kernels
from keras_inception_export.quantization.metrics import Measurement
from keras_inception_export.verification.probes import Probes


@dataclass(frozen=True)
class WrittenArtifact:
    """One artifact, and how it was made.

    Args:
        format: the name of its format.
        quantization: its scheme; `None` for float32.
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
    float_cost: dict[str, float | None] | None = None
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


@dataclass(frozen=True)
class PreparedModel:
    """A model to quantize.

    Args:
        inference_model: computes what the float model computes, bit for bit.
        kernels: the integers that kernels are rounded to; see `Quantizer`.
        channels: the number of scaled channels.
    """

    inference_model: InferenceModel
    kernels: Mapping[str, np.ndarray] = field(default_factory=dict)
    channels: int = 0


@dataclass(eq=False)
class ArtifactWriter:
    """Writes quantized artifacts of one inference model.

    Each format has one quantizer for the float model and one for the prepared
    model, made when it is first needed.

    Args:
        float_model: the inference model; it stays as it is.
        evaluation: the samples, and the outputs of Keras on them. `None` if
            there are no samples: nothing is measured then, and int8 cannot be
            written.
        probes: the inputs on which latency is measured and failures are
            diagnosed.
        folder: the folder of the artifacts.
        workdir: a folder for temporary files.
        options: the options of the export.
    """

    float_model: InferenceModel
    evaluation: Evaluation | None
    probes: Probes
    folder: Path
    workdir: Path
    options: ExportOptions
    _seconds: dict[Path, float] = field(default_factory=dict, init=False)
    _quantizers: dict[tuple[str, bool], Quantizer] = field(
        default_factory=dict, init=False
    )

    @property
    def calibration(self) -> Mapping[str, np.ndarray]:
        """The calibration samples, one array per input name."""
        if self.evaluation is None:
            return {}
        return {
            name: array.astype("float32")
            if name in self.model_to_prepare.pixels
            else array
            for name, array in self.evaluation.split.calibration.inputs.items()
        }

    @property
    def columns(self) -> Mapping[str, np.ndarray]:
        """Which columns of each output are judged."""
        return self.evaluation.columns if self.evaluation else {}

    @cached_property
    def model_to_prepare(self) -> InferenceModel:
        """The float model, whose pixels are float inputs, for int8."""
        return with_real_pixels(self.float_model)

    @cached_property
    def prepared(self) -> PreparedModel:
        """The model that int8 is written from, in every format.

        Equalized channels and rounded kernels change the accuracy of int8
        only, not its size or speed. Where ONNX, in which the layers are found,
        cannot express the model, neither is done and a warning is logged.
        """
        given = self.calibration, self.workdir, self.options.opset
        try:
            logger.info("Equalize  channels")
            equalized, channels = equalize(self.model_to_prepare, *given)
            logger.info("Round  kernels")
            kernels = round_kernels(equalized, *given)
        except ConversionError as error:
            logger.info(
                "Warning  channels are not equalized, and kernels are rounded "
                "to the nearest: both need ONNX: %s",
                error,
            )
            return PreparedModel(self.model_to_prepare)
        return PreparedModel(equalized, kernels, channels)

    def model(self, scheme: str) -> PreparedModel:
        """Return the model that artifacts of a scheme are written from."""
        if scheme == PREPARED_SCHEME:
            return self.prepared
        return PreparedModel(self.float_model)

    def quantizer(self, name: str, scheme: str = PREPARED_SCHEME) -> Quantizer:
        """Return the quantizer of a format for the model of a scheme."""
        key = name, scheme == PREPARED_SCHEME
        if key not in self._quantizers:
            make_quantizer = FORMATS[name].quantizer
            if make_quantizer is None:
                raise ValueError(f"the format {name} has no quantizer")
            model = self.model(scheme)
            self._quantizers[key] = make_quantizer(
                model.inference_model,
                self.workdir,
                opset=self.options.opset,
                calibration=self.calibration,
                kernels=model.kernels,
            )
        return self._quantizers[key]

    def write(
        self, name: str, scheme: str, float_layers: Sequence[str] = ()
    ) -> WrittenArtifact:
        """Write one artifact and measure it."""
        start = time.perf_counter()
        path = self.folder / FORMATS[name].artifact_name(scheme)
        is_prepared = scheme == PREPARED_SCHEME
        io = self.options.quantized_io if is_prepared else None
        quantizer = self.quantizer(name, scheme)
        quantizer.write(path, scheme, float_layers=float_layers, io=io)
        seconds = self._seconds.get(path, 0.0) + time.perf_counter() - start
        self._seconds[path] = seconds
        kept = quantizer.float_layers(path) if is_prepared else ()
        findings = [
            f"the runtime computes {layer} in integers, expected float"
            for layer in float_layers
            if layer not in kept
        ]
        measured: Sequence[Measurement] = ()
        if self.evaluation:
            try:
                measured = self.evaluation.measure(load_artifact(path))
            except TimeLimitError:
                raise
            except ArtifactError as error:
                # LiteRT refuses some ratios of scales, for one.
                reason = reason_of(error.__cause__ or error)
                findings.append(f"its runtime cannot run it: {reason}")
            findings += self.evaluation.criteria.findings(measured)
            shown = display_name(name, scheme), _summary(measured)
            logger.info("Measure  %s, %s", *shown)
        return WrittenArtifact(
            name,
            scheme,
            path,
            round(seconds, 2),
            measured,
            findings,
            kept,
            {"bytes": 0, "time": 1.0} if kept else None,
            self.model(scheme).channels,
        )


def _summary(measured: Sequence[Measurement]) -> str:
    """Return the worst value of each measure, as text."""
    if not measured:
        return "cannot be run"
    parts = [f"{min(record.snr_db for record in measured):.1f} dB"]
    columns = [record.column_snr_db for record in measured]
    known = [value for value in columns if value is not None]
    if known:
        parts.append(f"worst column {min(known):.1f} dB")
    for measure in ("agreement", "accuracy"):
        values = [getattr(record, measure) for record in measured]
        known = [value for value in values if value is not None]
        if known:
            parts.append(f"{measure} {min(known):.2%}")
    return ", ".join(parts)
