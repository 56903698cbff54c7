"""Find outputs on which a comparison verifies nothing."""

from collections.abc import Sequence

import numpy as np

from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.verification.columns import (
    columns_of,
    largest_values,
    maxima_over,
    movement_of,
)
from keras_inception_export.verification.parity import keras_error
from keras_inception_export.verification.probes import Probes

MAX_KERAS_ERROR = 1e-2
"""Probes on which Keras itself differs by more, in float32, are not used."""

ROUNDING = (
    "rounding grows from layer to layer if a deep model has random or very "
    "large weights: train it, check its weights, or give other samples"
)
"""Why a model is inexact, and what to do."""

MIN_MOVEMENT = 30.0
"""The least difference between the samples of some column, in tolerances, for
which a comparison of that output verifies anything."""


def inexact(probes: Probes) -> str:
    """Return the output in which Keras is too inexact in float32, or ""."""
    for name in probes.reference[0]:
        if keras_error(probes, name) > MAX_KERAS_ERROR:
            return name
    return ""


def degenerate_outputs(
    probes: Probes, specs: Sequence[TensorSpec]
) -> list[str]:
    """Return a finding per output on which nothing can be verified.

    It is not finite, hardly changes, or Keras itself is inexact.
    """
    findings = []
    for spec in specs:
        batches = probes.reference_of(spec.name)
        scale = largest_values(batches).max()
        if not np.isfinite(scale):
            findings.append(
                f'reference: output "{spec.name}" of the model itself is NaN '
                "or infinite, expected finite values; check the model's "
                "weights, or give other samples"
            )
            continue
        errors = {
            regime: keras_error(probes.only({regime}), spec.name)
            for regime in probes.by_regime()
        }
        regime = max(errors, key=errors.__getitem__)
        if errors[regime] > MAX_KERAS_ERROR:
            findings.append(
                f'reference: Keras itself is inexact in output "{spec.name}": '
                f"float32 differs from float64 by {errors[regime]:.1%} "
                f"({regime} inputs), allowed is {MAX_KERAS_ERROR:.0%}, so a "
                f"comparison verifies nothing; {ROUNDING}"
            )
            continue
        allowed = {x: y.allowed for x, y in columns_of(probes, spec).items()}
        movement = movement_of(batches)
        parts = [(movement, maxima_over([*allowed.values()]))]
        for regime, of_regime in allowed.items():
            moved = movement_of(probes.only({regime}).reference_of(spec.name))
            parts.append((moved, of_regime))
        if any((moved > MIN_MOVEMENT * limit).any() for moved, limit in parts):
            continue
        relative = movement.max() / scale if scale else 0
        findings.append(
            f'reference: output "{spec.name}" hardly depends on the input (it '
            f"changes by {relative:.1e} of its largest value), so a comparison "
            "verifies nothing; expected a model whose signals reach its "
            "outputs: train it, or call it on data with training=True so that "
            "batch normalization has statistics, or give other samples"
        )
    return findings
