"""The search for the fewest float layers, with a stub for the writer."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from keras_inception_export.errors import ConversionError
from keras_inception_export.formats.registry import FORMATS
from keras_inception_export.quantization import mixed_precision
from keras_inception_export.quantization.artifact_writer import WrittenArtifact
from keras_inception_export.quantization.mixed_precision import (
    MixedPrecisionSearch,
)
from keras_inception_export.verification.probes import Probes

FAST = next(name for name, x in FORMATS.items() if x.fast_quantizer)
SLOW = next(
    name
    for name, x in FORMATS.items()
    if x.quantizer is not None and not x.fast_quantizer
)
LAYERS = tuple("abcdefghijklmnopqrstuvw")


class StubWriter:
    """An `ArtifactWriter` whose artifacts pass if layers are in float."""

    def __init__(self, workdir, required, unknown=(), unavailable=()):
        self.calibration = {"image": np.zeros((40, 2))}
        self.probes = Probes((), (), (), ())
        self.workdir = workdir
        self.written = []
        self._path = workdir / "model.onnx"
        self._required = set(required)
        self._unknown = set(unknown)
        self._unavailable = unavailable

    def quantizer(self, name):
        if name in self._unavailable:
            raise ConversionError(f"{name} cannot express the model")
        layers = [x for x in LAYERS if name != FAST or x not in self._unknown]
        return SimpleNamespace(format=name, layers=layers)

    def write(self, name, scheme, float_layers=()):
        self.written.append(list(float_layers))
        self._path.write_bytes(b"0" * (10 + len(float_layers)))
        missing = self._required - set(float_layers)
        findings = [f"{x} is in integers" for x in sorted(missing)]
        return WrittenArtifact(
            name,
            scheme,
            self._path,
            0.0,
            findings=findings,
            float_layers=tuple(float_layers),
        )


@pytest.fixture
def improve(monkeypatch, tmp_path):
    """Improve an artifact; return the result, the writer and its rankings."""
    rankings = []

    def snr(quantizer, path, samples):
        rankings.append((quantizer.format, path, len(samples["image"])))
        return {layer: LAYERS.index(layer) for layer in quantizer.layers}

    monkeypatch.setattr(mixed_precision, "layer_snr", snr)
    monkeypatch.setattr(mixed_precision, "relative_latency", lambda *_: 1.234)

    def run(required, name=SLOW, **options):
        writer = StubWriter(tmp_path, required, **options)
        artifact = writer.write(name, "int8")
        result = MixedPrecisionSearch(writer).improve(artifact)
        return result, writer, rankings

    return run


@pytest.mark.parametrize(
    "required", ["a", "h", "g", "ab", "ah", "cf", "abcdefgh", "bdg", "lnt"]
)
def test_only_the_layers_that_are_needed_stay_in_float(required, improve):
    """The order is that of the error, which the need does not follow."""
    result, writer, _ = improve(required)
    assert result.findings == []
    assert set(result.float_layers) == set(required)
    assert set(writer.written[-1]) == set(required)  # what is in the file
    assert len(writer.written) <= 120
    assert result.float_cost == {"bytes": len(required), "time": 1.23}


def test_an_artifact_that_passes_is_returned_as_it_is(improve):
    result, writer, rankings = improve(())
    assert writer.written == [[]] and not rankings
    assert result.float_cost is None


def test_if_no_attempt_passes_the_last_one_is_returned(improve):
    result, _, _ = improve("z")
    assert result.findings == ["z is in integers"]
    assert set(result.float_layers) == set(LAYERS)


def test_layers_are_ranked_in_a_fast_format_on_few_samples(improve):
    _, _, rankings = improve("b")
    ((name, path, samples),) = rankings
    assert (name, samples) == (FAST, 16)
    assert path.suffix == Path(FORMATS[FAST].file_name).suffix


def test_layers_that_the_fast_format_does_not_know_come_last(improve):
    result, _, _ = improve("b", unknown="a")
    assert result.float_layers == ("b",)


def test_without_the_fast_format_the_own_one_ranks(improve):
    result, _, rankings = improve("b", unknown="a", unavailable=[FAST])
    assert rankings[0][0] == SLOW
    assert result.float_layers == ("b",)
