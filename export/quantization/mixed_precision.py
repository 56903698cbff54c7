"""Keep as few layers in float as the acceptance criteria require.

`MixedPrecisionSearch.improve` takes an int8 artifact that fails the criteria.
It ranks the layers by the error that each causes alone. Then it looks for up to
`GREEDY_LAYERS` of the worst that suffice, one after the other; else it keeps
more in float, worst first, and returns to int8 what is not needed.
"""

import contextlib
import itertools
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from keras_inception_export.benchmarking.run import relative_latency
from keras_inception_export.bundle import bundle
from keras_inception_export.bundle.artifact import load_artifact
from keras_inception_export.data.batching import run
from keras_inception_export.errors import ArtifactError, ConversionError
from keras_inception_export.formats.quantizer import Quantizer
from keras_inception_export.formats.registry import FORMATS, format_of
from keras_inception_export.formats.schemes import PREPARED_SCHEME
from keras_inception_export.logs import logger
from keras_inception_export.quantization.artifact_writer import (
    ArtifactWriter,
    WrittenArtifact,
)
from keras_inception_export.quantization.metrics import Outputs, measure

RANKING_SAMPLES = 16
"""Calibration samples that the error of each layer is measured on."""
CANDIDATES, LAST_CANDIDATES = 8, 2
"""The most sensitive layers and the last ones, of which some suffice as a rule.
An output with one uneven column needs the layer before it in float, and not
every format shows this."""
GREEDY_LAYERS, BEAM = 3, 2
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

        Whether an artifact passes is no monotonous function of the layers in
        float, so each set is measured. If none passes, the last attempt is
        returned, with its findings.
        """
        if not artifact.findings:
            return artifact
        name = artifact.format
        plain = self._writer.workdir / FORMATS[name].artifact_name("plain")
        plain.write_bytes(artifact.path.read_bytes())
        attempts = _Attempts(
            lambda layers: self._writer.write(name, PREPARED_SCHEME, layers)
        )
        ranked = self._ranked(name)
        layers = self._writer.quantizer(name).layers
        few = attempts.greedy(_units(ranked, layers))
        kept = attempts.reduced(few or attempts.doubled(ranked))
        best = attempts.result(kept)
        if best.findings:
            return best
        runs = bool(artifact.measured)
        return replace(best, float_cost=self._cost(best.path, plain, runs))

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
            self._snr = layer_snr(
                quantizer, path, samples, self._writer.columns
            )
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
                    quantizer = self._writer.quantizer(fast)
                    if quantizer.layers:  # for which it converts the model
                        return fast, quantizer
        return name, self._writer.quantizer(name)

    def _cost(
        self, path: Path, plain: Path, runs: bool
    ) -> dict[str, float | None]:
        """Compare an artifact with the one without float layers, if it runs."""
        probes = self._writer.workdir / bundle.PROBES
        self._writer.probes.save(probes)
        time = round(relative_latency(path, plain, probes), 2) if runs else None
        nbytes = format_of(path).nbytes
        return {"bytes": nbytes(path) - nbytes(plain), "time": time}


class _Attempts:
    """Artifacts with different layers in float, all in the same file."""

    def __init__(self, write: Callable[[list[str]], WrittenArtifact]) -> None:
        self._write = write
        self._found: dict[frozenset[str], WrittenArtifact] = {}
        self._in_file: frozenset[str] = frozenset()

    def result(self, layers: list[str]) -> WrittenArtifact:
        """Return the artifact, which is then the one in the file."""
        key = frozenset(layers)
        if self._in_file != key or key not in self._found:
            self._found[key], self._in_file = self._write(layers), key
        return self._found[key]

    def passes(self, layers: list[str]) -> bool:
        """Return whether an artifact meets the criteria."""
        key = frozenset(layers)
        return not (self._found.get(key) or self.result(layers)).findings

    def greedy(self, units: list[list[str]]) -> list[str] | None:
        """Return up to `GREEDY_LAYERS` layers that suffice, if it finds any.

        In each round every unit is tried together with each of the `BEAM` best
        sets of the round before.
        """
        beam: list[list[str]] = [[]]
        while beam:
            sets = {}
            for kept, unit in itertools.product(beam, units):
                layers = list(dict.fromkeys([*kept, *unit]))
                if len(kept) < len(layers) <= GREEDY_LAYERS:
                    sets[frozenset(layers)] = layers
            for layers in sets.values():
                if self.passes(layers):
                    return layers
            best = sorted(sets, key=lambda x: _quality(self._found[x]))
            beam = [sets[key] for key in best[-BEAM:]]
        return None

    def doubled(self, ranked: list[str]) -> list[str]:
        """Return the first 1, 2, 4, ... layers that pass, else all of them."""
        size = 1
        while not self.passes(ranked[:size]) and size < len(ranked):
            size = min(2 * size, len(ranked))
        return ranked[:size]

    def reduced(self, kept: list[str]) -> list[str]:
        """Return layers that pass without those that are not needed.

        Halves, quarters and at last single layers are left out, the least
        sensitive first.
        """
        if not self.passes(kept):
            return kept
        left, size = MAX_REDUCTIONS, len(kept) // 2
        while size and left:
            for start in reversed(range(0, len(kept), size)):
                fewer = kept[:start] + kept[start + size :]
                if fewer and left:
                    left -= 1
                    kept = fewer if self.passes(fewer) else kept
            size //= 2
        return kept


def _units(ranked: list[str], layers: Sequence[str]) -> list[list[str]]:
    """Return the layers, and pairs of neighbours, to try in float first.

    The value between two layers keeps its precision only if both are in float.
    """
    last = [*reversed(layers[-LAST_CANDIDATES:])]
    units = [[layer] for layer in dict.fromkeys(ranked[:CANDIDATES] + last)]
    for layer in ranked[:CANDIDATES]:
        index = layers.index(layer)
        pairs = layers[max(index - 1, 0) : index + 1], layers[index : index + 2]
        units += [list(pair) for pair in pairs if len(pair) == 2]
    return units


def _quality(artifact: WrittenArtifact) -> tuple[int, float]:
    """Return how few criteria an artifact fails, and its signal to noise."""
    levels = [record.worst_db for record in artifact.measured]
    return -len(artifact.findings), min(levels, default=0.0)


def layer_snr(
    quantizer: Quantizer,
    path: Path,
    samples: Mapping[str, np.ndarray],
    columns: Mapping[str, np.ndarray] = MappingProxyType({}),
) -> dict[str, float]:
    """Return the signal to noise in dB with one layer in int8, per layer.

    The outputs are compared with those of the artifact that has all layers in
    float; the value is that of the worst output or column that is judged. It
    is that of noise if the runtime cannot run the artifact.
    """
    layers = quantizer.layers

    def outputs(float_layers: Collection[str]) -> Outputs:
        quantizer.write(path, PREPARED_SCHEME, float_layers=float_layers)
        return run(load_artifact(path), samples)

    reference = outputs(set(layers))
    snr = {}
    for number, layer in enumerate(layers, start=1):
        snr[layer] = -np.inf
        with contextlib.suppress(ArtifactError):
            found = outputs(set(layers) - {layer})
            records = measure(found, reference, None, columns)
            snr[layer] = min(record.worst_db for record in records)
        shown = number, len(layers), layer, snr[layer]
        logger.info("Rank  %d of %d: %s alone in int8 gives %.1f dB", *shown)
    return snr
