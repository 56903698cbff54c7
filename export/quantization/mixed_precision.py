"""Quantized artifacts that meet the acceptance criteria.

Before int8, channels are equalized and kernels are rounded for the inputs they
read, which costs the artifact nothing. Where that is not enough, the layers
that cost most stay in float, as few of them as needed.
"""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from keras_inception_export.benchmarking.run import relative_latency
from keras_inception_export.bundle import bundle
from keras_inception_export.bundle.artifact import load_artifact
from keras_inception_export.diagnosis.capture import capture_layer_references
from keras_inception_export.diagnosis.diagnose import examine
from keras_inception_export.errors import ArtifactError, ConversionError
from keras_inception_export.formats.format import Quantizer
from keras_inception_export.formats.registry import FORMATS, display_name
from keras_inception_export.logs import logger
from keras_inception_export.model.inference_model import InferenceModel
from keras_inception_export.options import ExportOptions
from keras_inception_export.quantization.evaluation import Evaluation
from keras_inception_export.quantization.metrics import Measurement
from keras_inception_export.quantization.preparation import (
    PreparedModel,
    prepare_int8,
)
from keras_inception_export.quantization.sensitivity import noise_of_layers
from keras_inception_export.verification.probes import Probes

SENSITIVITY_SAMPLES = 16
"""Samples that the cost of each layer is measured on."""

PREPARED = "int8"
"""The scheme that a prepared model is written in; the others take the float
model as it is, so that no artifact depends on what else is asked for."""


@dataclass(frozen=True)
class WrittenArtifact:
    """One artifact that was written, and what was done for it.

    Args:
        format: its format.
        quantization: `"float16"`, `"dynamic"` or `"int8"`; `None` for float32.
        path: where it lies.
        seconds: what writing it took, with all attempts.
        measured: how near each output comes to Keras.
        findings: what it misses, a sentence each.
        float_layers: the layers that the runtime computes in float, in int8.
        float_cost: what those cost that were kept there, over int8 without:
            `bytes` more, and `time`, how many times as long a call takes;
            `None` where no layer is in float.
        equalized_channels: how many channels were scaled before int8.
    """

    format: str
    quantization: str | None
    path: Path
    seconds: float
    measured: Sequence[Measurement] = ()
    findings: Sequence[str] = ()
    float_layers: tuple[str, ...] = ()
    float_cost: dict | None = None
    equalized_channels: int = 0

    def as_json(self):
        """Return how a report tells which artifact it is."""
        return {
            "format": self.format,
            "quantization": self.quantization,
            "path": self.path.name,
        }

    @property
    def name(self):
        """Return what a person calls it."""
        return display_name(self.format, self.quantization)


class MixedPrecisionSearch:
    """Writes quantized artifacts of one inference model, and measures each.

    Args:
        inference_model: the inference model.
        evaluation: the samples, and what Keras computes on them; `None` if
            there are none: then nothing is measured, and int8 not written.
        probes: what artifacts are timed and diagnosed on.
        folder: where the artifacts go.
        workdir: a folder for temporary files.
        options: the options of the export.
    """

    def __init__(
        self,
        inference_model: InferenceModel,
        evaluation: Evaluation | None,
        probes: Probes,
        folder: Path,
        workdir: Path,
        options: ExportOptions,
    ) -> None:
        self._float_model = inference_model
        self._evaluation = evaluation
        self._calibration: Mapping[str, np.ndarray] = (
            evaluation.split.calibration.inputs if evaluation else {}
        )
        self._probes = probes
        self._folder = folder
        self._workdir = workdir
        self._options = options
        self._seconds: dict[Path, float] = defaultdict(float)
        self._noise: dict[str, float] = {}
        self._quantizers: dict[tuple[str, bool], Quantizer] = {}

    def write(self, scheme: str) -> list[WrittenArtifact]:
        """Write one scheme in every format.

        Raises:
            ArtifactError: if one misses the acceptance criteria whatever is
                tried.
        """
        results = [
            self._attempt(name, scheme)
            for name in self._options.quantized_formats(scheme)
        ]
        if scheme == PREPARED:
            results = [self._with_float_layers(result) for result in results]
        missed = [result for result in results if result.findings]
        if missed:
            raise ArtifactError(self._explained(missed, scheme))
        return results

    @cached_property
    def _prepared(self) -> PreparedModel:
        return prepare_int8(
            self._float_model,
            self._calibration,
            self._workdir,
            self._options.opset,
        )

    def _quantizer(self, name: str, scheme: str = PREPARED) -> Quantizer:
        """Return the quantizer of a format for the model of a scheme."""
        key = name, scheme == PREPARED
        if key not in self._quantizers:
            make_quantizer = FORMATS[name].quantizer
            if make_quantizer is None:
                raise ValueError(f"{name} has no quantizer")
            model = PreparedModel(self._float_model)
            if scheme == PREPARED:
                model = self._prepared
            self._quantizers[key] = make_quantizer(
                model.inference_model,
                self._workdir,
                opset=self._options.opset,
                calibration=self._calibration or None,
                kernels=model.kernels,
            )
        return self._quantizers[key]

    def _attempt(
        self, name: str, scheme: str, float_layers: Sequence[str] = ()
    ) -> WrittenArtifact:
        """Write one artifact and measure it."""
        start = time.perf_counter()
        path = self._folder / FORMATS[name].artifact_name(scheme)
        integers = scheme == PREPARED
        quantizer = self._quantizer(name, scheme)
        quantizer.write(
            path,
            scheme,
            float_layers=float_layers,
            io=self._options.quantized_io if integers else None,
        )
        self._seconds[path] += time.perf_counter() - start
        kept = quantizer.float_layers(path) if integers else ()
        findings = [
            f"its runtime computes {layer} in integers, wanted in float"
            for layer in float_layers
            if layer not in kept
        ]
        measured: Sequence[Measurement] = ()
        if self._evaluation:
            measured = self._evaluation.measure(load_artifact(path))
            findings += self._evaluation.criteria.findings(measured)
            logger.info(
                "Measure  %s, %s",
                display_name(name, scheme),
                _summary(measured),
            )
        return WrittenArtifact(
            name,
            scheme,
            path,
            round(self._seconds[path], 2),
            measured,
            findings,
            kept,
            {"bytes": 0, "time": 1.0} if kept else None,
            self._prepared.channels if integers else 0,
        )

    def _with_float_layers(self, plain: WrittenArtifact) -> WrittenArtifact:
        """Keep as few layers in float as the acceptance criteria needs."""
        if not plain.findings:
            return plain
        whole = self._workdir / FORMATS[plain.format].artifact_name("whole")
        whole.write_bytes(plain.path.read_bytes())
        ranked = self._ranked(plain.format)

        def attempt(number):
            return self._attempt(plain.format, PREPARED, ranked[:number])

        low, high = 0, 1
        good = result = attempt(high)
        while good.findings:
            if high >= len(ranked):
                return good
            low, high = high, min(2 * high, len(ranked))
            good = result = attempt(high)
        while high - low > 1:
            middle = (low + high) // 2
            result = attempt(middle)
            if result.findings:
                low = middle
            else:
                good, high = result, middle
        if result is not good:
            good = attempt(high)
        return replace(good, float_cost=self._cost(good, whole))

    def _ranked(self, name: str) -> list[str]:
        """Order a format's layers by the error that each makes alone in int8.

        Measured in ONNX, where an attempt takes a second, if it can express
        the model; and on calibration samples: those that judge stay unseen.
        What is a layer in the other format only comes last.
        """
        if not self._noise:
            try:
                ranking = self._quantizer(fastest := "onnx")
            except ConversionError:
                ranking = self._quantizer(fastest := name)
            self._noise = noise_of_layers(
                ranking,
                self._workdir / FORMATS[fastest].artifact_name("ranking"),
                {
                    name: array[:SENSITIVITY_SAMPLES]
                    for name, array in self._calibration.items()
                },
            )
        return sorted(
            self._quantizer(name).layers,
            key=lambda layer: self._noise.get(layer, np.inf),
        )

    def _cost(self, kept: WrittenArtifact, whole: Path) -> dict:
        """Compare an artifact with float layers with one without."""
        probes = self._workdir / bundle.PROBES
        self._probes.save(probes)
        return {
            "bytes": bundle.size_of(kept.path) - bundle.size_of(whole),
            "time": round(relative_latency(kept.path, whole, probes), 2),
        }

    def _explained(self, missed: Sequence[WrittenArtifact], scheme: str) -> str:
        """Say what was missed, where the most is lost, and what to do."""
        layer_references = capture_layer_references(
            self._prepared.inference_model, self._probes.together()
        )
        feeds = self._probes.singles()
        parts = []
        for result in missed:
            parts += [f"{result.name}: {text}" for text in result.findings]
            facts = result.as_json()
            worst = examine(self._folder, facts, layer_references, feeds).first
            if worst:
                parts.append(f"{result.name}: worst is {worst.described()}")
        if scheme == "int8":
            parts.append(
                f"tried were {self._prepared.channels} channels equalized, and any "
                "number of layers in float"
            )
        if self._evaluation:
            parts += self._evaluation.warnings
        parts.append(
            "ask for less with --min-agreement and --max-accuracy-drop, or "
            "leave the scheme out"
        )
        return "; ".join(parts)


def _summary(measured: Sequence[Measurement]) -> str:
    worst = min(measured, key=lambda record: record.snr_db)
    parts = [f"{worst.snr_db:.1f} dB"]
    scored = [r.agreement for r in measured if r.agreement is not None]
    if scored:
        parts.append(f"agreement {np.min(scored):.2%}")
    right = [r.accuracy for r in measured if r.accuracy is not None]
    if right:
        parts.append(f"accuracy {np.min(right):.2%}")
    return ", ".join(parts)
