"""From plain int8 to what the guard lets pass.

Where plain int8 misses, channels are equalized, which costs nothing; where
that is not enough, the layers that cost most stay in float, as few of them as
needed.
"""

import importlib
import statistics
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from keras_inception_export.artifact import load_artifact
from keras_inception_export.batches import run
from keras_inception_export.bundle import size_of
from keras_inception_export.errors import ArtifactError
from keras_inception_export.formats import file_name, spoken_name
from keras_inception_export.quantization.equalize import equalize
from keras_inception_export.quantization.evaluation import Evaluation
from keras_inception_export.quantization.measure import Measurement, measure
from keras_inception_export.request import ExportRequest
from keras_inception_export.twin import InferenceTwin

RANKING = 16  # samples that the cost of each layer is measured on
_ROUNDS = 9  # interleaved runs that the cost in time is taken from


@dataclass(frozen=True)
class Written:
    """One artifact that was written, and what was done for it.

    Args:
        format: its format.
        quantization: `"float16"`, `"dynamic"` or `"int8"`; `None` for float32.
        path: where it lies.
        seconds: what writing it took, with all attempts.
        measured: how near each output comes to Keras.
        equalized_channels: channels that were scaled before.
        float_layers: the layers kept in float.
        float_cost: what keeping them costs, over int8 throughout: `bytes`
            more, and `time`, how many times as long a sample takes; `None`
            where there are none.
    """

    format: str
    quantization: str | None
    path: Path
    seconds: float
    measured: Sequence[Measurement] = ()
    equalized_channels: int = 0
    float_layers: tuple[str, ...] = ()
    float_cost: dict | None = None

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
        return spoken_name(self.format, self.quantization)


class Search:
    """Writes quantized artifacts of one twin, and measures each.

    Args:
        twin: the inference twin; equalization changes its weights.
        evaluation: the samples, and what Keras gives on them.
        folder: where the artifacts go.
        room: a folder for temporary files.
        request: the `ExportRequest`.
        say: called with a line for each step.
    """

    def __init__(
        self,
        twin: InferenceTwin,
        evaluation: Evaluation,
        folder: Path,
        room: Path,
        request: ExportRequest,
        say: Callable[[str], None],
    ) -> None:
        self._twin = twin
        self._evaluation = evaluation
        self._calibration = evaluation.split.calibration
        self._folder = folder
        self._room = room
        self._request = request
        self._say = say
        self._channels = 0
        self._ranking: list[str] = []
        self._open_quantizers()

    def write(self, scheme: str) -> list[Written]:
        """Write one scheme in every format.

        Raises:
            ArtifactError: if one misses the guard whatever is tried.
        """
        results = [self._attempt(name, scheme) for name in self._quantizers]
        if scheme == "int8" and any(map(self._missed, results)):
            results = self._equalized(results)
            results = [self._with_float_layers(result) for result in results]
        findings = [
            f"{result.name}: {finding}"
            for result in results
            for finding in self._missed(result)
        ]
        if findings:
            raise ArtifactError("; ".join(findings) + self._advice(scheme))
        return results

    def _open_quantizers(self):
        self._quantizers = {
            name: self._open(name) for name in self._request.quantized_formats
        }

    def _open(self, name):
        module = importlib.import_module(
            f"keras_inception_export.formats.{name}_quantize"
        )
        return module.Quantizer(
            self._twin,
            self._room,
            opset=self._request.opset,
            calibration=self._calibration.inputs,
        )

    def _attempt(self, name, scheme, float_layers=()) -> Written:
        """Write one artifact and measure it."""
        start = time.perf_counter()
        path = self._folder / file_name(name, scheme)
        self._quantizers[name].write(
            path,
            scheme,
            float_layers=float_layers,
            io=self._request.quantized_io if scheme == "int8" else None,
        )
        seconds = time.perf_counter() - start
        result = Written(
            name,
            scheme,
            path,
            round(seconds, 2),
            self._evaluation.measure(load_artifact(path)),
            self._channels,
            tuple(float_layers),
        )
        self._say(f"Measure  {result.name}, {_told(result.measured)}")
        return result

    def _missed(self, result: Written) -> list[str]:
        return self._evaluation.guard.findings(result.measured)

    def _equalized(self, results):
        """Try again with equal channels, in every format alike."""
        self._channels = equalize(
            self._twin, self._calibration.inputs, self._room
        )
        if not self._channels:
            self._say("Equalize  no channel that could be scaled stands out")
            return results
        self._say(f"Equalize  {self._channels} channels that are too large")
        self._open_quantizers()
        return [self._attempt(r.format, r.quantization) for r in results]

    def _with_float_layers(self, plain: Written) -> Written:
        """Keep as few layers in float as the guard needs."""
        if not self._missed(plain):
            return plain
        self._ranking = self._ranking or self._ranked()
        ranked = self._ranking
        whole = plain.path.read_bytes()

        def attempt(number):
            return self._attempt(
                plain.format, plain.quantization, ranked[:number]
            )

        good = None
        low, number = 0, 1
        while good is None:
            result = attempt(number)
            if not self._missed(result):
                good = result
            elif number == len(ranked):
                return result
            else:
                low, number = number, min(2 * number, len(ranked))
        while len(good.float_layers) - low > 1:
            middle = (low + len(good.float_layers)) // 2
            result = attempt(middle)
            if self._missed(result):
                low = middle
            else:
                good = result
        if result is not good:
            good = attempt(len(good.float_layers))
        return replace(good, float_cost=self._cost(good, whole))

    def _ranked(self) -> list[str]:
        """Order the layers by the error that each makes alone in int8.

        Measured in ONNX, where an attempt takes a second, and on calibration
        samples: those that judge stay unseen.
        """
        quantizer = self._quantizers.get("onnx") or self._open("onnx")
        samples = self._calibration.take(slice(0, RANKING)).inputs
        path = self._room / "ranking.onnx"

        def outputs(float_layers: Collection[str]):
            quantizer.write(path, "int8", float_layers=float_layers)
            return run(load_artifact(path), samples)

        layers = quantizer.layers
        reference = outputs(set(layers))
        noise = {}
        for index, layer in enumerate(layers):
            alone = outputs(set(layers) - {layer})
            noise[layer] = min(
                record.snr_db for record in measure(alone, reference, None)
            )
            self._say(
                f"Rank  {index + 1} of {len(layers)}: {layer} alone in int8 "
                f"gives {noise[layer]:.1f} dB"
            )
        return sorted(layers, key=noise.__getitem__)

    def _cost(self, kept: Written, whole: bytes) -> dict:
        """Compare an artifact with float layers with one without."""
        path = self._room / file_name(kept.format, "whole")
        path.write_bytes(whole)
        sample = self._calibration.take(slice(0, 1)).inputs
        ratios = []
        runs = [load_artifact(kept.path), load_artifact(path)]
        for _ in range(_ROUNDS):
            seconds = [_seconds(artifact, sample) for artifact in runs]
            ratios.append(seconds[0] / seconds[1])
        return {
            "bytes": size_of(kept.path) - len(whole),
            "time": round(statistics.median(ratios), 2),
        }

    def _advice(self, scheme):
        tried = ""
        if scheme == "int8":
            tried = (
                f" (with {self._channels} channels equalized, and with any "
                "number of layers in float)"
            )
        return (
            f"{tried}; ask for less with --min-agreement and "
            "--max-accuracy-drop, or leave the scheme out"
        )


def _seconds(artifact, sample):
    start = time.perf_counter()
    artifact(dict(sample))
    return time.perf_counter() - start


def _told(measured: Sequence[Measurement]) -> str:
    worst = min(measured, key=lambda record: record.snr_db)
    parts = [f"{worst.snr_db:.1f} dB"]
    scored = [r.agreement for r in measured if r.agreement is not None]
    if scored:
        parts.append(f"agreement {np.min(scored):.2%}")
    right = [r.accuracy for r in measured if r.accuracy is not None]
    if right:
        parts.append(f"accuracy {np.min(right):.2%}")
    return ", ".join(parts)
