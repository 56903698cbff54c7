"""From float to what the guard lets pass.

Before int8 channels are equalized and kernels are rounded to the values they
meet, which costs the artifact nothing; where that is not enough, the layers
that cost most stay in float, as few of them as needed.
"""

import importlib
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from keras_inception_export import benchmarking, bundle
from keras_inception_export.artifact import load_artifact
from keras_inception_export.diagnosis import examine
from keras_inception_export.errors import ArtifactError, ConversionError
from keras_inception_export.formats import file_name, spoken_name
from keras_inception_export.observation import take_landmarks
from keras_inception_export.probes import Probes
from keras_inception_export.quantization.equalize import equalize
from keras_inception_export.quantization.evaluation import Evaluation
from keras_inception_export.quantization.measure import Measurement
from keras_inception_export.quantization.ranking import noise_of_layers
from keras_inception_export.quantization.rounding import round_kernels
from keras_inception_export.request import ExportRequest
from keras_inception_export.twin import InferenceTwin

RANKING = 16  # samples that the cost of each layer is measured on


@dataclass(frozen=True)
class Written:
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
    """

    format: str
    quantization: str | None
    path: Path
    seconds: float
    measured: Sequence[Measurement] = ()
    findings: Sequence[str] = ()
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
        evaluation: the samples, and what Keras gives on them; `None` where
            there are none: then nothing is measured, and int8 not written.
        probes: what artifacts are timed on, and looked into.
        folder: where the artifacts go.
        room: a folder for temporary files.
        request: the `ExportRequest`.
        say: called with a line for each step.

    Attributes:
        channels: how many channels of the twin were equalized.
    """

    def __init__(
        self,
        twin: InferenceTwin,
        evaluation: Evaluation | None,
        probes: Probes,
        folder: Path,
        room: Path,
        request: ExportRequest,
        say: Callable[[str], None],
    ) -> None:
        self.channels = 0
        self._twin = twin
        self._evaluation = evaluation
        self._calibration: Mapping[str, np.ndarray] = (
            evaluation.split.calibration.inputs if evaluation else {}
        )
        self._probes = probes
        self._folder = folder
        self._room = room
        self._request = request
        self._say = say
        self._seconds: dict[Path, float] = defaultdict(float)
        self._noise: dict[str, float] = {}
        self._quantizers: dict = {}
        self._kernels: dict[str, np.ndarray] = {}

    def write(self, scheme: str) -> list[Written]:
        """Write one scheme in every format.

        Raises:
            ArtifactError: if one misses the guard whatever is tried.
        """
        if scheme == "int8":
            self._prepare()
        results = [
            self._attempt(name, scheme)
            for name in self._request.quantized_formats
        ]
        if scheme == "int8":
            results = [self._with_float_layers(result) for result in results]
        missed = [result for result in results if result.findings]
        if missed:
            raise ArtifactError(self._explained(missed, scheme))
        return results

    def _prepare(self) -> None:
        """Equalize channels and round kernels, for every format alike."""
        try:
            self._say("Equalize  channels")
            self.channels = equalize(self._twin, self._calibration, self._room)
            self._say("Round  kernels")
            self._kernels = round_kernels(
                self._twin, self._calibration, self._room
            )
        except ConversionError as error:
            self._say(f"Warning  neither without ONNX: {error}")

    def _quantizer(self, name):
        if name not in self._quantizers:
            self._quantizers[name] = _module(name).Quantizer(
                self._twin,
                self._room,
                opset=self._request.opset,
                calibration=self._calibration or None,
                kernels=self._kernels,
            )
        return self._quantizers[name]

    def _attempt(self, name, scheme, float_layers=()) -> Written:
        """Write one artifact and measure it."""
        start = time.perf_counter()
        path = self._folder / file_name(name, scheme)
        integers = scheme == "int8"
        self._quantizer(name).write(
            path,
            scheme,
            float_layers=float_layers,
            io=self._request.quantized_io if integers else None,
        )
        self._seconds[path] += time.perf_counter() - start
        kept = _module(name).float_layers(path) if integers else ()
        findings = [
            f"its runtime computes {layer} in integers, wanted in float"
            for layer in float_layers
            if layer not in kept
        ]
        measured: list[Measurement] = []
        if self._evaluation:
            measured = self._evaluation.measure(load_artifact(path))
            findings += self._evaluation.guard.findings(measured)
            told = f"{spoken_name(name, scheme)}, {_told(measured)}"
            self._say(f"Measure  {told}")
        return Written(
            name,
            scheme,
            path,
            round(self._seconds[path], 2),
            measured,
            findings,
            kept,
            {"bytes": 0, "time": 1.0} if kept else None,
        )

    def _with_float_layers(self, plain: Written) -> Written:
        """Keep as few layers in float as the guard needs."""
        if not plain.findings:
            return plain
        whole = self._room / file_name(plain.format, "whole")
        whole.write_bytes(plain.path.read_bytes())
        ranked = self._ranked(plain.format)

        def attempt(number):
            return self._attempt(
                plain.format, plain.quantization, ranked[:number]
            )

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
                self._room / file_name(fastest, "ranking"),
                {name: x[:RANKING] for name, x in self._calibration.items()},
                self._say,
            )
        return sorted(
            self._quantizer(name).layers,
            key=lambda layer: self._noise.get(layer, np.inf),
        )

    def _cost(self, kept: Written, whole: Path) -> dict:
        """Compare an artifact with float layers with one without."""
        probes = self._room / bundle.PROBES
        self._probes.save(probes)
        return {
            "bytes": bundle.size_of(kept.path) - bundle.size_of(whole),
            "time": round(
                benchmarking.times_as_long(kept.path, whole, probes), 2
            ),
        }

    def _explained(self, missed: Sequence[Written], scheme: str) -> str:
        """Say what was missed, where the most is lost, and what to do."""
        landmarks = take_landmarks(self._twin, self._probes.together())
        feeds = self._probes.singles()
        parts = []
        for result in missed:
            parts += [f"{result.name}: {text}" for text in result.findings]
            facts = result.as_json()
            worst = examine(self._folder, facts, landmarks, feeds).first
            if worst:
                parts.append(f"{result.name}: worst is {worst.described()}")
        if scheme == "int8":
            parts.append(
                f"tried were {self.channels} channels equalized, and any "
                "number of layers in float"
            )
        if self._evaluation:
            parts += self._evaluation.warnings
        parts.append(
            "ask for less with --min-agreement and --max-accuracy-drop, or "
            "leave the scheme out"
        )
        return "; ".join(parts)


def _module(name):
    return importlib.import_module(
        f"keras_inception_export.formats.{name}_quantize"
    )


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
