"""Keep as few layers in float as the acceptance criteria require.

`MixedPrecisionSearch.improve` takes an int8 artifact that fails the criteria.
It ranks the layers by the error that each causes alone, and searches for the
smallest number of them, worst first, that must stay in float.
"""

import contextlib
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from keras_inception_export.benchmarking.run import relative_latency
from keras_inception_export.bundle import bundle
from keras_inception_export.bundle.artifact import load_artifact
from keras_inception_export.data.batching import run
from keras_inception_export.errors import ConversionError
from keras_inception_export.formats.format import Quantizer
from keras_inception_export.formats.registry import FORMATS
from keras_inception_export.formats.schemes import PREPARED_SCHEME
from keras_inception_export.logs import logger
from keras_inception_export.quantization.artifact_writer import (
    ArtifactWriter,
    WrittenArtifact,
)
from keras_inception_export.quantization.metrics import Outputs, measure

RANKING_SAMPLES = 16
"""Calibration samples that the error of each layer is measured on."""


class MixedPrecisionSearch:
    """Rewrites int8 artifacts with some layers in float.

    Args:
        writer: writes and measures each attempt.
    """

    def __init__(self, writer: ArtifactWriter) -> None:
        self._writer = writer
        self._snr: dict[str, float] = {}

    def improve(self, artifact: WrittenArtifact) -> WrittenArtifact:
        """Return an artifact with the fewest float layers that passes.

        The number of layers is doubled until the artifact passes, then
        bisected. If none passes, the last attempt is returned, with its
        findings.
        """
        if not artifact.findings:
            return artifact
        plain_name = FORMATS[artifact.format].artifact_name("plain")
        plain = self._writer.workdir / plain_name
        plain.write_bytes(artifact.path.read_bytes())
        ranked = self._ranked(artifact.format)

        def attempt(number: int) -> WrittenArtifact:
            return self._writer.write(
                artifact.format, PREPARED_SCHEME, ranked[:number]
            )

        low, high = 0, 1
        best = latest = attempt(high)
        while best.findings and high < len(ranked):
            low, high = high, min(2 * high, len(ranked))
            best = latest = attempt(high)
        if best.findings:
            return best
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
            file_name = FORMATS[ranking].artifact_name("ranking")
            path = self._writer.workdir / file_name
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
        probes = self._writer.workdir / bundle.PROBES
        self._writer.probes.save(probes)
        return {
            "bytes": bundle.size_of(path) - bundle.size_of(plain),
            "time": round(relative_latency(path, plain, probes), 2),
        }


def layer_snr(
    quantizer: Quantizer, path: Path, samples: Mapping[str, np.ndarray]
) -> dict[str, float]:
    """Return the signal to noise in dB with one layer in int8, per layer.

    The outputs are compared with those of the artifact that has all layers in
    float; the value is that of the worst output.
    """
    layers = quantizer.layers

    def outputs(float_layers: Collection[str]) -> Outputs:
        quantizer.write(path, PREPARED_SCHEME, float_layers=float_layers)
        return run(load_artifact(path), samples)

    reference = outputs(set(layers))
    snr = {}
    for number, layer in enumerate(layers, start=1):
        records = measure(outputs(set(layers) - {layer}), reference, None)
        snr[layer] = min(record.snr_db for record in records)
        shown = number, len(layers), layer, snr[layer]
        logger.info("Rank  %d of %d: %s alone in int8 gives %.1f dB", *shown)
    return snr
