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
    live = replace(inference_model, model=model)
    if samples is not None:
        domains = {
            name: domain.like(samples[name]) for name, domain in domains.items()
        }
    batches, unused = [], {}
    for regime, alternatives in regimes(live.inputs, domains, samples):
        found, problem = _first_that_runs(live, alternatives)
        if found and (regime in USUAL or not problem):
            batches += [(regime, *pair) for pair in found]
        elif regime in USUAL:
            raise RequestError(problem)
        else:
            unused[regime] = problem
    names, feeds, outputs = zip(*batches, strict=True)
    exact = tuple(float64_outputs(model, feeds))
    as_given = Probes(feeds, exact, outputs, names)
    copied = tuple(float32_outputs(inference_model, feeds))
    probes = _nearest(as_given, replace(as_given, keras=copied))
    for regime in set(names) - set(USUAL):
        output = parity.inexact(probes.only(regime))
        if output:
            unused[regime] = f'Keras is inexact in float32 in "{output}"'
    kept = set(names) - set(unused)
    probes = replace(probes.only(kept), unused=unused)
    findings = parity.degenerate_outputs(probes, live.outputs)
    if findings:
        raise ArtifactError("; ".join(findings))
    _check_live(live, as_given.only(kept), probes)
    return probes


def _first_that_runs(
    live: InferenceModel, alternatives: Sequence[Sequence[Feed]]
) -> tuple[list[tuple[Feed, Feed]], str]:
    """Return the first alternative that the live model can compute.

    It is a list of batches with outputs. If there is none, also return why.
    """
    found: list[tuple[Feed, Feed]] = []
    problem = ""
    for feeds in alternatives:
        try:
            outputs = float32_outputs(live, feeds)
        except RequestError as error:
            problem = str(error)
            continue
        found = list(zip(feeds, outputs, strict=True))
        arrays = [array for batch in outputs for array in batch.values()]
        if all(np.isfinite(array.astype("float64")).all() for array in arrays):
            return found, ""
        problem = "the outputs of the model itself are not finite"
    return found, problem


def _nearest(*candidates: Probes) -> Probes:
    """Return probes with the float32 outputs that are nearest to float64.

    The live model and the inference model both compute them. The error of
    either, if it computes something else, must not become the tolerance.
    """
    keras = [dict(batch) for batch in candidates[0].keras]
    for regime, indices in candidates[0].by_regime().items():
        parts = [candidate.only({regime}) for candidate in candidates]
        for name in keras[0]:
            errors = [parity.keras_error(part, name) for part in parts]
            best = candidates[int(np.argmin(errors))]
            for index in indices:
                keras[index][name] = best.keras[index][name]
    return replace(candidates[0], keras=tuple(keras))


def _check_live(live: InferenceModel, as_given: Probes, probes: Probes) -> None:
    """Raise RequestError if the live model does not compute the reference."""
    dtypes = {layer.compute_dtype for layer in live.model._flatten_layers()}
    unit = max(HALF.get(dtype, 1.0) for dtype in dtypes)
    outputs = [
        {
            spec.name: batch[spec.name].astype(spec.dtype)
            for spec in live.outputs
        }
        for batch in as_given.keras
    ]
    _, findings = parity.compare(
        outputs, live.outputs, probes, factor=unit * parity.FACTOR
    )
    if findings:
        raise RequestError(
            "the model that Keras rebuilds from its config does not compute "
            f"what the given model computes: {findings[0]}; expected equal "
            "outputs, since artifacts are written from the config; check that "
            "each `get_config` returns every argument, and that weights hold "
            "all state"
        )
