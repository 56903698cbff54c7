"""Keep as few layers in float as the acceptance criteria require.

`MixedPrecisionSearch.improve` takes an int8 artifact that fails the criteria.
It ranks the layers by the error that each causes alone, and searches for the
smallest number of them, worst first, that must stay in float.
"""

import contextlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from keras_inception_export.benchmarking.run import relative_latency
from keras_inception_export.bundle import bundle
from keras_inception_export.errors import ConversionError
from keras_inception_export.formats.format import Quantizer
from keras_inception_export.formats.registry import FORMATS
from keras_inception_export.formats.schemes import PREPARED_SCHEME
from keras_inception_export.quantization.artifact_writer import ArtifactWriter
from keras_inception_export.quantization.artifacts import WrittenArtifact
from keras_inception_export.quantization.sensitivity import layer_snr
from keras_inception_export.verification.probes import Probes

RANKING_SAMPLES = 16
"""Calibration samples that the error of each layer is measured on."""


class MixedPrecisionSearch:
    """Rewrites int8 artifacts with some layers in float.

    Args:
        writer: writes and measures each attempt.
        probes: the inputs that latency is measured on.
        workdir: a folder for temporary files.
    """

    def __init__(
        self, writer: ArtifactWriter, probes: Probes, workdir: Path
    ) -> None:
        self._writer = writer
        self._probes = probes
        self._workdir = workdir
        self._snr: dict[str, float] = {}

    def improve(self, artifact: WrittenArtifact) -> WrittenArtifact:
        """Return an artifact with the fewest float layers that passes.

        The number of layers is doubled until the artifact passes, then
        bisected.

        Returns:
            The last attempt, with its findings, if none passes.
        """
        if not artifact.findings:
            return artifact
        plain = self._workdir / FORMATS[artifact.format].artifact_name("plain")
        plain.write_bytes(artifact.path.read_bytes())
        ranked = self._ranked(artifact.format)

        def attempt(number: int) -> WrittenArtifact:
            return self._writer.write(
                artifact.format, PREPARED_SCHEME, ranked[:number]
            )

        low, high = 0, 1
        best = latest = attempt(high)
        while best.findings:
            if high >= len(ranked):
                return best
            low, high = high, min(2 * high, len(ranked))
            best = latest = attempt(high)
        while high - low > 1:
            middle = (low + high) // 2
            latest = attempt(middle)
            if latest.findings:
                low = middle
            else:
                best, high = latest, middle
        if latest is not best:
            best = attempt(high)
        return replace(best, float_cost=self._cost(best.path, plain))

    def _ranked(self, name: str) -> list[str]:
        """Return a format's layers, those with the largest error first.

        A layer that the ranking format does not know comes last.
        """
        if not self._snr:
            ranking, quantizer = self._ranking_quantizer(name)
            samples = {
                key: array[:RANKING_SAMPLES]
                for key, array in self._writer.calibration.items()
            }
            path = self._workdir / FORMATS[ranking].artifact_name("ranking")
            self._snr = layer_snr(quantizer, path, samples)
        return sorted(
            self._writer.quantizer(name).layers,
            key=lambda layer: self._snr.get(layer, np.inf),
        )

    def _ranking_quantizer(self, name: str) -> tuple[str, Quantizer]:
        """Return the quantizer that layers are ranked with, and its format.

        A fast one if its format can express the model, else that of the
        artifact: the ranking takes one attempt per layer, and the formats
        agree on the order.
        """
        for fast, record in FORMATS.items():
            if record.fast_quantizer:
                with contextlib.suppress(ConversionError):
                    return fast, self._writer.quantizer(fast)
        return name, self._writer.quantizer(name)

    def _cost(self, path: Path, plain: Path) -> dict[str, float]:
        """Compare an artifact with float layers with one that has none."""
        probes = self._workdir / bundle.PROBES
        self._probes.save(probes)
        return {
            "bytes": bundle.size_of(path) - bundle.size_of(plain),
            "time": round(relative_latency(path, plain, probes), 2),
        }
