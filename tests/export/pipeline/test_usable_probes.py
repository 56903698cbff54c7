"""Probes that the user's model can compute, whatever sizes it needs."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_inception_export.model.inference_model import to_inference_model
from keras_inception_export.model.input_ranges import input_domains
from keras_inception_export.model.loading import functional
from keras_inception_export.model.reference import float32_outputs
from keras_inception_export.pipeline.make_probes import make_probes


def probes_of(model):
    model = functional(model)
    inference_model = to_inference_model(model)
    return make_probes(model, inference_model, input_domains(model))


@pytest.mark.parametrize(
    ("shape", "layer", "smallest"),
    [
        ((None, 4), layers.MaxPooling1D(2, 1), 2),
        ((None, None, 2), layers.MaxPooling2D((3, 2), 1), 3),
        ((None, 2), layers.AveragePooling1D(2, 1), 2),
        ((None, 1), layers.STFTSpectrogram(frame_length=500), 500),
        ((None, 3), layers.Conv1D(2, 70), 70),
    ],
    ids=["max_1d", "max_2d", "average_1d", "spectrogram", "wide"],
)
def test_no_probe_is_too_small(shape, layer, smallest):
    probes = probes_of(keras.Sequential([keras.Input(shape), layer]))
    lengths = [array.shape[1] for (array,) in map(dict.values, probes.feeds)]
    assert min(lengths) >= smallest
    assert len(set(lengths)) > 1
    assert "expected" in probes.regimes
    assert all(x.size for batch in probes.reference for x in batch.values())


@pytest.mark.parametrize("mode", ["int8", "int4"])
@pytest.mark.parametrize(
    ("shape", "dtype", "layer"),
    [
        ((3, 4), "float32", layers.Dense),
        ((3,), "int32", lambda units, **kw: layers.Embedding(5, units, **kw)),
    ],
    ids=["dense", "embedding"],
)
def test_a_quantized_layer_computes_in_float32(mode, shape, dtype, layer):
    model = keras.Sequential(
        [keras.Input(shape, dtype=dtype), layer(4, dtype="mixed_bfloat16")]
    )
    model.layers[0].quantize(mode)
    inference_model = to_inference_model(functional(model))
    assert inference_model.outputs[0].dtype == "float32"
    probes = probes_of(model)
    (found,) = float32_outputs(inference_model, probes.feeds[-1:])
    for name, array in found.items():
        expected = probes.reference[-1][name]
        np.testing.assert_allclose(array, expected, rtol=0, atol=2e-6)
        assert abs(array * 1.01 - expected).max() > 2e-6
