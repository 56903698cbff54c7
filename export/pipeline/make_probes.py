"""Make the probes of a model, and check the model itself on them.

The reference is what the user's own model computes in float64. The inference
model, rebuilt from its config, must compute the same before it is converted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import keras
import numpy as np

from keras_inception_export.bundle.bundle import USUAL
from keras_inception_export.data.batching import Arrays
from keras_inception_export.data.domain import Domain
from keras_inception_export.data.rows import Rows
from keras_inception_export.errors import ArtifactError, RequestError
from keras_inception_export.logs import logger
from keras_inception_export.model.divergence import (
    blocking_layer,
    diverging_layer,
)
from keras_inception_export.model.inference_model import InferenceModel
from keras_inception_export.model.pixels import search_pixels
from keras_inception_export.model.reference import (
    float32_outputs,
    float64_outputs,
)
from keras_inception_export.pipeline.keras_error import (
    jittered,
    weighted_levels,
    with_drift,
    with_keras,
    with_largest_error,
)
from keras_inception_export.verification import parity
from keras_inception_export.verification.degenerate import (
    ROUNDING,
    degenerate_outputs,
    inexact,
)
from keras_inception_export.verification.probes import Probes
from keras_inception_export.verification.regimes import (
    fitting_specs,
    regimes,
    usual_sample,
)

ADVICE = (
    "expected equal outputs; let `get_config` return every argument, and keep "
    "all state in weights"
)
SEARCHED = "searched"
"""The regime of inputs that move channels which the others do not."""


def make_probes(
    model: keras.Model,
    inference_model: InferenceModel,
    domains: Mapping[str, Domain],
    samples: Arrays | None = None,
) -> Probes:
    """Return probes with the outputs of the user's own model.

    Raises:
        RequestError: if the model cannot run on usual inputs, is random, or
            computes something else when it is rebuilt from its config.
        ArtifactError: if an output is not finite, or no probe changes it.
    """
    live = replace(inference_model, model=model)
    if samples is not None:
        domains = {
            name: domains[name].like(
                array.ends if isinstance(array, Rows) else array
            )
            for name, array in samples.items()
        }
    try:
        batches, unused = _batches(live, domains, samples)
    except RequestError:
        fitting = _fitting(live, domains, samples)
        # Some layers, as RandomCrop, have not the shape that they declare.
        declared = fitting is not None
        batches, unused = _batches(live, domains, samples, fitting, declared)
    searched = search_pixels(
        inference_model, [feed for _, feed, _ in batches], domains
    )
    found, problem = _first_that_runs(live, [searched])
    if problem:
        unused[SEARCHED] = problem
    else:
        batches[:0] = [(SEARCHED, *pair) for pair in found]
    names, feeds, outputs = zip(*batches, strict=True)
    _check_dtypes(live, outputs[-1])
    _check_repeatable(live, feeds[-1], outputs[-1])
    exact, float32_layers = float64_outputs(model, feeds)
    as_given = Probes(feeds, tuple(exact), outputs, names)
    rebuilt = with_keras(as_given, inference_model)
    bounded = not float32_layers
    shifted = jittered(as_given, inference_model if bounded else live)
    probes = with_largest_error(as_given, rebuilt, shifted, bounded=bounded)
    probes = with_drift(probes, weighted_levels(inference_model.model))
    if float32_layers:
        logger.info(
            "Warning  computed in float32 in the reference: %s",
            ", ".join(float32_layers),
        )
    for regime in set(names) - set(USUAL):
        output = inexact(probes.only({regime}))
        if output:
            unused[regime] = f'Keras is inexact in float32 in "{output}"'
    kept = set(names) - set(unused)
    probes = replace(probes.only(kept), unused=unused)
    findings = degenerate_outputs(probes, live.outputs)
    if findings:
        blocking = (blocking_layer(live, x) for x in probes.together())
        if layer := next(filter(None, blocking), None):
            findings.append(
                f"{layer} is the first layer whose outputs are constant or not "
                "finite"
            )
        raise ArtifactError("; ".join(findings))
    _check_rebuilt(live, inference_model, rebuilt.only(kept), probes)
    return probes


def _batches(live, domains, samples, fitting=None, declared=True):
    """Return batches with their regimes and outputs, and what is unused.

    Only outputs of the declared shapes are used, unless `declared` is False.
    """
    batches: list[tuple[str, Arrays, Arrays]] = []
    unused = {}
    for regime, alternatives in regimes(live.inputs, domains, samples, fitting):
        found, problem = _first_that_runs(live, alternatives, declared)
        if found and (regime in USUAL or not problem):
            batches += [(regime, *pair) for pair in found]
        elif regime in USUAL:
            raise RequestError(problem)
        else:
            unused[regime] = problem
    return batches, unused


def _fitting(live, domains, samples):
    """Return the inputs with the first sizes that the live model accepts."""
    for specs in fitting_specs(live.inputs, samples):
        if _first_that_runs(live, [[usual_sample(specs, domains)]])[0]:
            return specs
    return None


def _first_that_runs(
    live: InferenceModel,
    alternatives: Sequence[Sequence[Arrays]],
    declared: bool = True,
) -> tuple[list[tuple[Arrays, Arrays]], str]:
    """Return the first alternative that the live model can compute.

    It is a list of batches with outputs. If there is none, also return why.
    """
    found: list[tuple[Arrays, Arrays]] = []
    problem = ""
    for feeds in alternatives:
        try:
            outputs = float32_outputs(live, feeds)
        except RequestError as error:
            problem = problem or str(error)
            continue
        arrays = [array for batch in outputs for array in batch.values()]
        unlike = _unlike_declared(live, outputs, declared)
        if unlike:
            problem = problem or unlike
            continue
        found = list(zip(feeds, outputs, strict=True))
        if all(np.isfinite(array.astype("float64")).all() for array in arrays):
            return found, ""
        problem = "the outputs of the model itself are not finite"
    return found, problem


def _unlike_declared(
    live: InferenceModel, outputs: Sequence[Arrays], declared: bool
) -> str:
    """Return which output is empty or unlike declared, or an empty string.

    Where a window is larger than the input, TensorFlow may return its input or
    memory that was never written.
    """
    for batch in outputs:
        for spec in live.outputs:
            shape = batch[spec.name].shape
            if 0 in shape or declared and not spec.fits(shape):
                return (
                    f'the output "{spec.name}" of the model itself has the '
                    f"shape {shape} for usual inputs, so it cannot be "
                    "compared; expected an output with values, of the shape "
                    f"{spec.shape} that Keras declares"
                )
    return ""


def _check_dtypes(live: InferenceModel, outputs: Arrays) -> None:
    """Raise RequestError for an output of another dtype than Keras declares.

    `IntegerLookup` declares floats and returns integers, for example.
    """
    for spec in live.outputs:
        if (dtype := outputs[spec.name].dtype) != spec.dtype:
            raise RequestError(
                f'the output "{spec.name}" is {dtype}, but Keras declares it '
                f"as {spec.dtype}; convert it in the model, with keras.ops.cast"
            )


def _check_repeatable(
    live: InferenceModel, feed: Arrays, outputs: Arrays
) -> None:
    (again,) = float32_outputs(live, [feed])
    for name, first in outputs.items():
        if parity.max_error([again[name]], [first]) > parity.FLOOR:
            layer = diverging_layer(live, live, [feed])
            raise RequestError(
                f'the output "{name}" is random, or depends on earlier calls '
                f"(layer {layer or 'unknown'}): the same inputs gave other "
                "values the second time; expected a model that computes the "
                "same at inference; use the `training` argument in the layer"
            )


def _check_rebuilt(
    live: InferenceModel,
    inference_model: InferenceModel,
    rebuilt: Probes,
    probes: Probes,
) -> None:
    """Raise an error if the inference model computes something else.

    It is a RequestError, or an ArtifactError if only float32 differs.
    """
    findings = differences(live, rebuilt.keras, probes)
    if not findings:
        return
    exact, _ = float64_outputs(inference_model.model, probes.feeds)
    if not differences(live, exact, probes):
        raise ArtifactError(
            "reference: the given model, and the same model rebuilt from its "
            f"config, agree in float64 but not in float32: {findings[0]}; "
            f"{ROUNDING}"
        )
    layer = diverging_layer(live, live.copy(), probes.feeds)
    raise RequestError(
        "the model that Keras rebuilds from the config computes something "
        f"else than the given model: {findings[0]}; the first layer that "
        f"differs is {layer or 'unknown'}; {ADVICE}"
    )


def differences(
    live: InferenceModel,
    outputs: Sequence[Arrays],
    probes: Probes,
    factor: float = parity.FACTOR,
) -> list[str]:
    """Return how outputs of a live model differ from the reference."""
    cast = [
        {
            spec.name: batch[spec.name].astype(spec.dtype)
            for spec in live.outputs
        }
        for batch in outputs
    ]
    return parity.compare(cast, live.outputs, probes, factor=factor)[1]
