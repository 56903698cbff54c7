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
from keras_inception_export.model.pixels import search_pixels, with_real_pixels
from keras_inception_export.model.reference import (
    float32_outputs,
    float64_outputs,
)
from keras_inception_export.verification import columns, parity
from keras_inception_export.verification.degenerate import (
    MAX_KERAS_ERROR,
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
DRIFT = columns.EPSILON / 2 / parity.FACTOR
"""Every layer may round in the same direction, by half a unit: the error of
Keras, per layer, for which the tolerance is that."""

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
    _check_repeatable(live, feeds[-1], outputs[-1])
    exact, float32_layers = float64_outputs(model, feeds)
    as_given = Probes(feeds, tuple(exact), outputs, names)
    rebuilt = _with_keras(as_given, inference_model)
    bounded = not float32_layers
    jittered = _jittered(as_given, inference_model if bounded else live)
    probes = _with_largest_error(as_given, rebuilt, jittered, bounded=bounded)
    probes = _with_drift(probes, _weighted_levels(inference_model.model))
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


def _with_keras(probes: Probes, model: InferenceModel) -> Probes:
    return replace(probes, keras=tuple(float32_outputs(model, probes.feeds)))


def _jittered(probes: Probes, model: InferenceModel) -> Probes:
    """Return probes with outputs for inputs that are off by a rounding step.

    They are as inexact as any other computation in float32. A layer that is
    computed in float32 in the reference too has no error but this one.
    """
    generator = np.random.default_rng(0)
    model = with_real_pixels(model)

    def off(name, array):
        if name in model.pixels:
            array = array.astype("float32")
        if array.dtype.kind != "f":
            return array
        step = generator.choice([-1, 1], array.shape) * columns.EPSILON
        return (array * (1 + step)).astype(array.dtype)

    feeds = tuple(
        {name: off(name, array) for name, array in feed.items()}
        for feed in probes.feeds
    )
    changed = _with_keras(replace(probes, feeds=feeds), model)
    return replace(changed, feeds=probes.feeds)


def _with_largest_error(
    as_given: Probes, rebuilt: Probes, jittered: Probes, *, bounded: bool
) -> Probes:
    """Return probes with the float32 outputs that are the least exact.

    One computation in float32 may be exact by chance: for a single image of
    the 132 M hybrid, the errors of equal models were 0.9e-6 to 7e-6, and which
    one was small depended on the number of threads. What differs by more than
    an artifact always may, and by more than `FACTOR` times the smaller error of
    the model as given and as rebuilt, computes something else, and must not
    become the tolerance. In an unusual regime, `jittered` may differ `FACTOR`
    times as much: where large summands cancel in a few places, both models may
    be off by 1.6e-6, and a runtime, like a rounding step of the input, by 4e-5.

    Args:
        bounded: whether that is true of `jittered` too. It is not if the
            reference has the same rounding errors as the model as given. An
            unusual regime in which rounding changes a lot is then left out,
            since Keras is too inexact there.
    """
    candidates = as_given, rebuilt, jittered
    outputs = [dict(batch) for batch in as_given.keras]
    for regime, indices in as_given.by_regime().items():
        parts = [candidate.only({regime}) for candidate in candidates]
        for name in as_given.reference[0]:
            errors = [parity.keras_error(part, name) for part in parts]
            limit = max(parity.FACTOR * min(errors[:2]), parity.FLOOR)
            limits = [limit] * len(errors)
            usual = regime in USUAL
            if not bounded:
                limits[-1] = MAX_KERAS_ERROR if usual else np.inf
            elif not usual:
                limits[-1] *= parity.FACTOR
            allowed = [
                error if error <= limit else -1.0
                for error, limit in zip(errors, limits, strict=True)
            ]
            largest = candidates[int(np.argmax(allowed))]
            for index in indices:
                outputs[index][name] = largest.keras[index][name]
    return replace(as_given, keras=tuple(outputs))


def _with_drift(probes: Probes, layers: int) -> Probes:
    """Return probes that tolerate roundings in the same direction.

    The errors of Keras cancel from layer to layer. Those of another runtime
    need not: after 200 layers, the tanh of ONNX Runtime was off by 9.9e-6, and
    that of Keras by 1.5e-6. Up to 32 layers, the least tolerance is enough.
    """
    drift = layers * DRIFT
    if parity.tolerance(drift) == parity.FLOOR:
        return probes
    outputs = [dict(batch) for batch in probes.keras]
    for regime, indices in probes.by_regime().items():
        part = probes.only({regime})
        for name, array in part.keras[0].items():
            exact = array.dtype.kind != "f"
            if exact or parity.keras_error(part, name) >= drift:
                continue
            for index in indices:
                drifted = probes.reference[index][name] * (1 - drift)
                outputs[index][name] = drifted.astype(array.dtype)
    return replace(probes, keras=tuple(outputs))


def _weighted_levels(model: keras.Model) -> int:
    """Return how many layers with weights may follow each other."""
    return sum(
        any(getattr(node.operation, "weights", ()) for node in nodes)
        for nodes in model._nodes_by_depth.values()
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
