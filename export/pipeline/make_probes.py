"""Make the probes of a model: inputs, reference outputs, error of float32."""

from collections.abc import Mapping

import keras
import numpy as np

from keras_inception_export.model.inference_model import InferenceModel
from keras_inception_export.model.reference import (
    float32_outputs,
    float64_outputs,
    input_range,
    vocabulary_size,
)
from keras_inception_export.verification.parity import max_error
from keras_inception_export.verification.probes import (
    Probes,
    random_feeds,
    sample_feeds,
)


def make_probes(
    model: keras.Model,
    inference_model: InferenceModel,
    samples: Mapping[str, np.ndarray] | None = None,
) -> Probes:
    """Return probes with the reference outputs of the original model.

    Without samples, inputs are random in the range that the model expects.

    Raises:
        RequestError: if the model cannot run on the probes.
    """
    specs = inference_model.inputs
    if samples is None:
        limits, vocabulary = input_range(model), vocabulary_size(model)
        feeds = random_feeds(specs, limits, vocabulary)
    else:
        feeds = sample_feeds(specs, samples)
    single = float32_outputs(inference_model, feeds)
    reference = float64_outputs(model, feeds).outputs
    errors = {
        spec.name: max_error(
            [batch[spec.name] for batch in single],
            [batch[spec.name] for batch in reference],
        )
        for spec in inference_model.outputs
    }
    return Probes(tuple(feeds), reference, errors)
