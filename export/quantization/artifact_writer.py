"""Write one quantized artifact and measure it on the evaluation samples."""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from keras_inception_export.bundle.artifact import load_artifact
from keras_inception_export.formats.format import Quantizer
from keras_inception_export.formats.registry import FORMATS, display_name
from keras_inception_export.formats.schemes import PREPARED_SCHEME
from keras_inception_export.logs import logger
from keras_inception_export.model.inference_model import InferenceModel
from keras_inception_export.options import ExportOptions
from keras_inception_export.quantization.artifacts import WrittenArtifact
from keras_inception_export.quantization.evaluation import Evaluation
from keras_inception_export.quantization.metrics import Measurement
from keras_inception_export.quantization.preparation import (
    PreparedModel,
    prepare_int8,
)


class ArtifactWriter:
    """Writes quantized artifacts of one inference model.

    Each format has one quantizer for the float model and one for the prepared
    model, made when it is first needed.

    Args:
        inference_model: the float model.
        evaluation: the samples, and the outputs of Keras on them. `None` if
            there are no samples: nothing is measured then, and int8 cannot be
            written.
        folder: the folder of the artifacts.
        workdir: a folder for temporary files.
        options: the options of the export.
    """

    def __init__(
        self,
        inference_model: InferenceModel,
        evaluation: Evaluation | None,
        folder: Path,
        workdir: Path,
        options: ExportOptions,
    ) -> None:
        self._float_model = inference_model
        self._evaluation = evaluation
        self._folder = folder
        self._workdir = workdir
        self._options = options
        self._seconds: dict[Path, float] = defaultdict(float)
        self._quantizers: dict[tuple[str, bool], Quantizer] = {}

    @property
    def calibration(self) -> Mapping[str, np.ndarray]:
        """The calibration samples, one array per input name."""
        if self._evaluation is None:
            return {}
        return self._evaluation.split.calibration.inputs

    def model(self, scheme: str = PREPARED_SCHEME) -> PreparedModel:
        """Return the model that artifacts of a scheme are written from."""
        if scheme == PREPARED_SCHEME:
            return self._prepared
        return PreparedModel(self._float_model)

    @cached_property
    def _prepared(self) -> PreparedModel:
        return prepare_int8(
            self._float_model,
            self.calibration,
            self._workdir,
            self._options.opset,
        )

    def quantizer(self, name: str, scheme: str = PREPARED_SCHEME) -> Quantizer:
        """Return the quantizer of a format for the model of a scheme.

        Raises:
            ConversionError: if the format cannot express the model.
        """
        key = name, scheme == PREPARED_SCHEME
        if key not in self._quantizers:
            make_quantizer = FORMATS[name].quantizer
            if make_quantizer is None:
                raise ValueError(f"the format {name} has no quantizer")
            model = self.model(scheme)
            self._quantizers[key] = make_quantizer(
                model.inference_model,
                self._workdir,
                opset=self._options.opset,
                calibration=self.calibration or None,
                kernels=model.kernels,
            )
        return self._quantizers[key]

    def write(
        self, name: str, scheme: str, float_layers: Sequence[str] = ()
    ) -> WrittenArtifact:
        """Write one artifact and measure it."""
        start = time.perf_counter()
        path = self._folder / FORMATS[name].artifact_name(scheme)
        is_prepared = scheme == PREPARED_SCHEME
        quantizer = self.quantizer(name, scheme)
        quantizer.write(
            path,
            scheme,
            float_layers=float_layers,
            io=self._options.quantized_io if is_prepared else None,
        )
        self._seconds[path] += time.perf_counter() - start
        kept = quantizer.float_layers(path) if is_prepared else ()
        findings = [
            f"the runtime computes {layer} in integers, expected float"
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
            self._prepared.channels if is_prepared else 0,
        )


def _summary(measured: Sequence[Measurement]) -> str:
    """Return the worst value of each measure, as text."""
    parts = [f"{min(record.snr_db for record in measured):.1f} dB"]
    for measure in ("agreement", "accuracy"):
        values = [getattr(record, measure) for record in measured]
        known = [value for value in values if value is not None]
        if known:
            parts.append(f"{measure} {min(known):.2%}")
    return ", ".join(parts)
