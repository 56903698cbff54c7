"""Keep as few layers in float as the acceptance criteria require.

`MixedPrecisionSearch.improve` takes an int8 artifact that fails the criteria.
It ranks the layers by the error that each causes alone, keeps as many in float
as it needs to pass, worst first, and then returns those to int8 that turn out
not to be needed.
"""

import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
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
MAX_REDUCTIONS = 32
"""Attempts to return layers to int8."""


class MixedPrecisionSearch:
    """Rewrites int8 artifacts with some layers in float.

    Args:
        writer: writes and measures each attempt.
    """

    def __init__(self, writer: ArtifactWriter) -> None:
        self._writer = writer
        self._snr: dict[str, float] = {}

    def improve(self, artifact: WrittenArtifact) -> WrittenArtifact:
        """Return an artifact that passes with few layers in float.

        The number of layers doubles until the artifact passes. Whether it does
        is no monotonous function of their number, so the set is not bisected:
        halves, quarters and at last single layers are taken out of it, the
        least sensitive first, wherever the artifact passes without them. If
        none passes, the last attempt is returned, with its findings.
        """
        if not artifact.findings:
            return artifact
        plain_name = FORMATS[artifact.format].artifact_name("plain")
        plain = self._writer.workdir / plain_name
        plain.write_bytes(artifact.path.read_bytes())
        latest: WrittenArtifact = artifact
        tried: dict[frozenset[str], bool] = {}

        def passes(layers: Sequence[str]) -> bool:
            nonlocal latest
            key = frozenset(layers)
            if key not in tried:
                latest = self._writer.write(
                    artifact.format, PREPARED_SCHEME, layers
                )
                tried[key] = not latest.findings
            return tried[key]

        kept = _first_that_passes(self._orders(artifact.format), passes)
        if kept is None:
            return latest
        kept = _reduced(kept, passes)
        if set(latest.float_layers) != set(kept) or latest.findings:
            latest = self._writer.write(artifact.format, PREPARED_SCHEME, kept)
        return replace(latest, float_cost=self._cost(latest.path, plain))

    def _orders(self, name: str) -> tuple[list[str], list[str]]:
        """Return a format's layers in two orders of how they are kept in float.

        The first is by error. The second is from the last layer to the first:
        an output of which only one column fails needs the layer before it in
        float, which another format may not show.
        """
        return self._ranked(name), [
            *reversed(self._writer.quantizer(name).layers)
        ]

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


def _first_that_passes(
    orders: Sequence[Sequence[str]], passes: Callable[[Sequence[str]], bool]
) -> list[str] | None:
    """Return the shortest start of an order that passes, of 1, 2, 4, ... ."""
    number = len(orders[0])
    sizes = [min(2**power, number) for power in range(number.bit_length() + 1)]
    starts = (order[:size] for size in sizes for order in orders)
    return next((list(start) for start in starts if passes(start)), None)


def _reduced(
    kept: list[str], passes: Callable[[Sequence[str]], bool]
) -> list[str]:
    """Return the layers without those that are not needed to pass."""
    attempts, size = 0, len(kept) // 2
    while size and attempts < MAX_REDUCTIONS:
        for start in reversed(range(0, len(kept), size)):
            fewer = kept[:start] + kept[start + size :]
            if fewer and attempts < MAX_REDUCTIONS:
                attempts += 1
                kept = fewer if passes(fewer) else kept
        size //= 2
    return kept


def layer_snr(
    quantizer: Quantizer, path: Path, samples: Mapping[str, np.ndarray]
) -> dict[str, float]:
    """Return the signal to noise in dB with one layer in int8, per layer.

    The outputs are compared with those of the artifact that has all layers in
    float; the value is that of the worst output or column.
    """
    layers = quantizer.layers

    def outputs(float_layers: Collection[str]) -> Outputs:
        quantizer.write(path, PREPARED_SCHEME, float_layers=float_layers)
        return run(load_artifact(path), samples)

    reference = outputs(set(layers))
    snr = {}
    for number, layer in enumerate(layers, start=1):
        records = measure(outputs(set(layers) - {layer}), reference, None)
        snr[layer] = min(record.worst_db for record in records)
        shown = number, len(layers), layer, snr[layer]
        logger.info("Rank  %d of %d: %s alone in int8 gives %.1f dB", *shown)
    return snr
