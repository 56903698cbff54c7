"""A model that Keras rebuilds differently ends the export."""

import dataclasses

import keras
import numpy as np
import pytest

from keras_inception_export.errors import ArtifactError, RequestError
from keras_inception_export.model.inference_model import InferenceModel
from keras_inception_export.pipeline.make_probes import _check_rebuilt
from keras_inception_export.verification.probes import Probes


@pytest.mark.parametrize(
    ("factor", "error", "message"),
    [
        (1.0, ArtifactError, "agree in float64 but not in float32"),
        (1.1, RequestError, "something else than the given model"),
    ],
)
def test_a_rebuilt_model_that_differs(factor, error, message):
    x = keras.Input((3,))
    model = keras.Model(x, keras.layers.Dense(4)(x))
    live, rebuilt = InferenceModel.of(model), keras.models.clone_model(model)
    rebuilt.set_weights([factor * x for x in model.get_weights()])
    (spec,), (output,) = live.inputs, live.outputs
    x = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
    exact = {output.name: model.predict(x, verbose=0).astype("float64")}
    given = Probes(({spec.name: x},), (exact,), (exact,), ("expected",))
    off = dataclasses.replace(
        given, keras=({output.name: exact[output.name] * 1.1},)
    )
    with pytest.raises(error, match=message):
        _check_rebuilt(live, InferenceModel.of(rebuilt), off, given)
