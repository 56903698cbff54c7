"""What an artifact will say of itself: its inputs, outputs and labels."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from keras_inception_export.bundle.bundle import USUAL
from keras_inception_export.data import metadata
from keras_inception_export.data.domain import Domain, unlike
from keras_inception_export.data.labels import labelled_outputs
from keras_inception_export.data.preprocessing import (
    INTEGERS,
    PRESETS,
    REALS,
    Preprocessing,
    channel_axis,
)
from keras_inception_export.data.rows import Rows
from keras_inception_export.data.samples import Samples
from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.errors import RequestError, check_choice
from keras_inception_export.formats.schemes import PREPARED_SCHEME
from keras_inception_export.logs import logger
from keras_inception_export.model.inference_model import InferenceModel
from keras_inception_export.options import ExportOptions
from keras_inception_export.verification.probes import Probes
from keras_inception_layers.preprocessing import find_mode

TAKES_PIXELS = 32
"""An input whose usual values are larger is made for pixels of 0 to 255."""

SCALED_TWICE = 16
"""How many times smaller than the usual values of an input the preprocessed
ones are, at least, if both the model and the preprocessing scale them."""


def choose_preprocessing(
    wanted: Preprocessing | Mapping[str, Preprocessing] | None,
    model: keras.Model,
    specs: Sequence[TensorSpec],
    domains: Mapping[str, Domain],
) -> dict[str, Preprocessing]:
    """Return how images become each input, as far as it is known.

    `wanted` is what the user asked for: for every image, or by input name.

    Raises:
        RequestError: if it does not fit an input, or the model does it too.
    """
    names = [spec.name for spec in specs]
    images = [
        spec
        for spec in specs
        if channel_axis(spec) is not None and spec.dtype in (*REALS, *INTEGERS)
    ]
    if isinstance(wanted, Preprocessing):
        by_name = {spec.name: wanted for spec in images or specs}
    else:
        by_name = dict(wanted or {})
    for name in by_name:
        check_choice("preprocessing: input", name, names)
    found = {}
    for spec in specs:
        domain = domains[spec.name]
        reach = 0.0 if domain.assumed else float(np.max(domain.reach))
        made = by_name.get(spec.name)
        if made is not None:
            found[spec.name] = made = made.fitted(spec)
            if reach > SCALED_TWICE * max(map(abs, made.range)):
                raise RequestError(
                    f'the model scales "{spec.name}" itself, and expects '
                    f"values of up to {reach:.4g}, but the preprocessing makes "
                    f"them {made.range[0]:.4g} to {made.range[1]:.4g}; use the "
                    'preprocessing "none"'
                )
        elif spec in images:
            preset = _default(model, spec, reach)
            if preset:
                found[spec.name] = PRESETS[preset].fitted(spec)
            else:
                logger.info(
                    'Preprocessing  unknown for "%s"; give --preprocess, or '
                    "predict will ask for it",
                    spec.name,
                )
    return found


def _default(model, spec, reach) -> str | None:
    """Return the preset for the images of an input, if that is known."""
    if not spec.takes_reals:
        return "none"
    if reach > TAKES_PIXELS:
        logger.info(
            'Preprocessing  "none": the model scales pixels of "%s" itself',
            spec.name,
        )
        return "none"
    if spec.shape[channel_axis(spec)] != 3:
        return None
    inner = [x.name for x in model.layers if isinstance(x, keras.Model)]
    for name in (model.name, *inner):
        with contextlib.suppress(ValueError):  # it is no known network
            mode = find_mode(name, None)
            logger.info(
                'Preprocessing  "%s", as the published weights of %s expect',
                *(mode, name),
            )
            return mode
    return None


def check_pixels(
    preprocessing: Mapping[str, Preprocessing],
    specs: Sequence[TensorSpec],
    options: ExportOptions,
) -> None:
    """Raise RequestError if artifacts of a model cannot take pixels."""
    if not preprocessing:
        names = ", ".join(f'"{spec.name}"' for spec in specs)
        raise RequestError(
            "artifacts that take pixels need to know how pixels become "
            f"{names}: give a preprocessing (--preprocess), and export a model "
            "of images"
        )
    others = [
        spec.name
        for spec in specs
        if spec.takes_reals and spec.name not in preprocessing
    ]
    is_int8 = PREPARED_SCHEME in options.quantize
    if others and is_int8 and options.quantized_io != "uint8":
        raise RequestError(
            "an int8 artifact has inputs of one dtype, uint8 for pixels; got "
            f"other inputs too: {', '.join(others)}; add the quantized io uint8"
        )


def warn_of_samples(
    samples: Samples, preprocessing: Mapping[str, Preprocessing]
) -> None:
    """Log a warning if arrays of samples are unlike preprocessed images."""
    for name, made in preprocessing.items():
        array = samples.inputs[name]
        ends = array.ends if isinstance(array, Rows) else np.asarray(array)
        found = float(ends.min()), float(ends.max())
        if unlike(found, made.range):
            logger.info(
                'Warning  the samples have values from %.4g to %.4g for "%s", '
                "but preprocessed images %.4g to %.4g; arrays are taken as "
                "they are",
                *(*found, name, *made.range),
            )


def with_ranges(
    domains: Mapping[str, Domain], preprocessing: Mapping[str, Preprocessing]
) -> dict[str, Domain]:
    """Return the domains, with the range of images where nothing else is known.

    Then the probes are like the images that the input gets.
    """
    found = dict(domains)
    for name, made in preprocessing.items():
        domain = found[name]
        ends = domain.low, domain.high
        if domain.assumed or (np.size(domain.reach) == 1 and ends == (0, 1)):
            low, high = map(np.asarray, made.range)
            found[name] = replace(domain, low=low, high=high)
    return found


def make_metadata(
    model: InferenceModel,
    name: str,
    preprocessing: Mapping[str, Preprocessing],
    built_in: Mapping[str, Preprocessing],
    labels: Sequence[str] | None,
    probes: Probes,
    versions: Mapping[str, Any],
) -> metadata.Metadata:
    """Return the metadata that all artifacts of a model share.

    An artifact that is not verified is never published, so the metadata may
    say that it is, and be part of what is verified.

    Raises:
        RequestError: if no output has one column per label.
    """
    labelled = labelled_outputs(labels, model.outputs) if labels else []
    usual = probes.only(set(USUAL)).feeds
    inputs = []
    for spec in model.inputs:
        arrays = [feed[spec.name] for feed in usual]
        low = min(array.min() for array in arrays)
        high = max(array.max() for array in arrays)
        made = preprocessing.get(spec.name)
        inputs.append(
            metadata.InputMetadata(
                *(spec.name, spec.shape, spec.dtype),
                metadata.IMAGE if made else metadata.VALUES,
                made,
                (float(low), float(high)),
                built_in.get(spec.name),
            )
        )
    outputs = [
        metadata.OutputMetadata(
            *(spec.name, spec.shape, spec.dtype),
            metadata.SCORES if spec.name in labelled else metadata.VALUES,
            tuple(labels) if labels and spec.name in labelled else None,
        )
        for spec in model.outputs
    ]
    return metadata.Metadata(
        name,
        tuple(inputs),
        tuple(outputs),
        versions,
        verification={"passed": True, "reference": "the model in float64"},
    )
