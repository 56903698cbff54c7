"""Probes that the user's model can compute, whatever sizes it needs."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_inception_export.errors import RequestError
from keras_inception_export.model.inference_model import to_inference_model
from keras_inception_export.model.input_ranges import input_domains
from keras_inception_export.model.loading import functional
from keras_inception_export.model.reference import float32_outputs
from keras_inception_export.pipeline.make_probes import make_probes


def probes_of(model, samples=None):
    model = functional(model)
    inference_model = to_inference_model(model)
    domains = input_domains(model)
    return make_probes(model, inference_model, domains, samples)


@pytest.mark.parametrize(
    ("shape", "layer", "smallest"),
    [
        ((None, 4), layers.MaxPooling1D(2, 1), 2),
        ((None, None, 2), layers.MaxPooling2D((3, 2), 1), 3),
        ((None, 2), layers.AveragePooling1D(2, 1), 2),
        ((None, 1), layers.STFTSpectrogram(frame_length=500), 500),
        ((None, 3), layers.Conv1D(2, 70), 70),
        ((None, None, 1), layers.Conv2D(3, 2), 2),
        ((None, None, 2), layers.DepthwiseConv2D(2), 2),
        ((None, None, 2), layers.SeparableConv2D(3, 2), 2),
    ],
    ids=["max_1d", "max_2d", "average_1d", "spectrogram", "wide"]
    + ["convolution", "depthwise", "separable"],
)
def test_no_probe_is_too_small(shape, layer, smallest):
    probes = probes_of(keras.Sequential([keras.Input(shape), layer]))
    lengths = [array.shape[1] for (array,) in map(dict.values, probes.feeds)]
    assert min(lengths) >= smallest
    assert len(set(lengths)) > 1
    assert "expected" in probes.regimes
    assert all(x.size for batch in probes.reference for x in batch.values())


def reshaped(*values):
    return [layers.Reshape((size,)) for size in values]


@pytest.mark.parametrize("with_samples", [False, True], ids=["", "samples"])
@pytest.mark.parametrize(
    ("shapes", "last", "sizes"),
    [
        ([(None, 4)], reshaped(5 * 4), [5]),
        ([(None, None, 1)], reshaped(24 * 23), [24, 23]),
        ([(None, 3), (None, 2)], reshaped(24 * 3, 22 * 2), [24, 22]),
        ([(None, 1)], [lambda x: x + np.ones((1, 11, 1), "f4")], [11]),
    ],
    ids=["one", "unequal", "two_inputs", "not_repeated"],
)
def test_sizes_are_found_where_few_fit(shapes, last, sizes, with_samples):
    inputs = [keras.Input(x, name=f"x{i}") for i, x in enumerate(shapes)]
    outputs = [f(x) for f, x in zip(last, inputs, strict=True)]
    model = keras.Model(inputs, outputs)
    rest = iter(sizes)
    known = [[next(rest) if n is None else n for n in x] for x in shapes]
    samples = {
        x.name: np.random.default_rng(0).random((2, *shape), "float32")
        for x, shape in zip(inputs, known, strict=True)
    }
    probes = probes_of(model, samples if with_samples else None)
    usual = probes.only({"expected"}).feeds
    for feed in usual:
        assert [n for x in feed.values() for n in x.shape[1:-1]] == sizes
    assert with_samples == ("samples" in probes.regimes)


def test_samples_that_do_not_fit_are_refused():
    model = keras.Sequential([keras.Input((None, 3), name="x"), *reshaped(15)])
    with pytest.raises(RequestError, match="pass suitable inputs as --samples"):
        probes_of(model, {"x": np.ones((2, 6, 3), "float32")})


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
