"""Make the probes of a model, and anchor their reference on the live model.

The reference is a copy of the model in float64, rebuilt from its config. It is
trusted only where it agrees with the live model, which runs as it was given.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import keras
import numpy as np

from keras_inception_export.data.domain import Domain
from keras_inception_export.errors import ArtifactError, RequestError
from keras_inception_export.model.inference_model import InferenceModel
from keras_inception_export.model.reference import (
    float32_outputs,
    float64_outputs,
)
from keras_inception_export.verification import parity
from keras_inception_export.verification.probes import USUAL, Feed, Probes
from keras_inception_export.verification.regimes import regimes

HALF = {"float16": 2.0**13, "bfloat16": 2.0**16}
"""The unit of rounding of a live model's dtype, in those of float32."""


def make_probes(
    model: keras.Model,
    inference_model: InferenceModel,
    domains: Mapping[str, Domain],
    samples: Feed | None = None,
) -> Probes:
    """Return probes whose reference agrees with the live model.

    Args:
        model: the live model.
        inference_model: the model that artifacts are written from.
        domains: the values that each input takes, by name.
        samples: the user's samples; `None` if there are none.

    Raises:
        RequestError: if the model cannot run on usual inputs, or computes
            something else when it is rebuilt from its config.
        ArtifactError: if an output is not finite, or no probe changes it.
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
