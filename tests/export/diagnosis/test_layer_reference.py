"""Layer references: errors, noise and the file."""

import math
from dataclasses import asdict

import numpy as np
import pytest

from keras_inception_export.diagnosis.layer_reference import (
    LayerReferences,
    TensorLocation,
)
from keras_inception_export.errors import ArtifactError
from tests.helpers.references import all_values, reference_of

ARRAY = np.random.default_rng(0).normal(size=(4, 3, 3, 2))
REFERENCE = reference_of(ARRAY)


def test_error_is_relative_to_the_largest_value():
    reference = reference_of([[1.0, -4.0]])
    assert reference.error(all_values(np.array([[2.0, -4.0]]))) == 1 / 4
    assert reference.error(reference.values) == 0
    assert reference.error(reference.values * np.nan) == math.inf


def test_snr_is_that_of_the_median_channel():
    noise = np.array([1e-1, 1e-2, 1e-3])
    reference = reference_of(np.ones((5, 3)) * [1000.0, 1.0, 1.0])
    noisy = np.ones((5, 3)) * [1000.0, 1.0, 1.0] + noise
    assert reference.snr(all_values(noisy)) == pytest.approx(60)
    assert reference.snr(reference.values) == math.inf
    assert reference.snr(reference.values * np.nan) == -math.inf


def test_file(tmp_path):
    facts = {"output": "y", "source": 0, "other_sources": (0,)}
    output = reference_of(ARRAY[..., 0] * 3, "dense", **facts)
    equalized = reference_of(ARRAY * 2)
    recorded = np.float32(REFERENCE.values)
    written = LayerReferences(
        (REFERENCE, output),
        {
            "model.onnx": (TensorLocation("a", True, 1e-7), None),
            "model.int8.onnx": (
                TensorLocation("b", False, 1e-2, recorded),
                TensorLocation("c", False, 1e-2),
            ),
        },
        (equalized, output),
    )
    written.save(tmp_path / "references.npz")
    read = LayerReferences.load(tmp_path / "references.npz")
    np.testing.assert_equal(asdict(read), asdict(written))
    damaged = (tmp_path / "references.npz").read_bytes()[:-100]
    (tmp_path / "references.npz").write_bytes(damaged)
    with pytest.raises(ArtifactError, match="references.npz is damaged"):
        LayerReferences.load(tmp_path / "references.npz")


def test_equalized_artifacts_have_their_own_references():
    float_layers, equalized = (REFERENCE,), (reference_of(ARRAY * 2),)
    references = LayerReferences(float_layers, {}, equalized)
    assert references.of({"equalized_channels": 3}) is equalized
    assert references.of({"equalized_channels": 0}) is float_layers
    assert references.of({}) is float_layers
    plain = LayerReferences(float_layers)
    assert plain.of({"equalized_channels": 3}) is float_layers
