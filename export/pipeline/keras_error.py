"""How inexact Keras itself is in float32, which sets the tolerance.

Each function returns probes whose `keras` outputs are those of another equally
valid computation of the same model.
"""

from dataclasses import replace

import keras
import numpy as np

from keras_inception_export.bundle.bundle import USUAL
from keras_inception_export.model.inference_model import InferenceModel
from keras_inception_export.model.pixels import with_real_pixels
from keras_inception_export.model.reference import float32_outputs
from keras_inception_export.verification import columns, parity
from keras_inception_export.verification.degenerate import MAX_KERAS_ERROR
from keras_inception_export.verification.probes import Probes

DRIFT = columns.EPSILON / 2 / parity.FACTOR
"""Every layer may round in the same direction, by half a unit: the error of
Keras, per layer, for which the tolerance is that."""


def with_keras(probes: Probes, model: InferenceModel) -> Probes:
    """Return probes with what a model computes in float32."""
    return replace(probes, keras=tuple(float32_outputs(model, probes.feeds)))


def jittered(probes: Probes, model: InferenceModel) -> Probes:
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
    changed = with_keras(replace(probes, feeds=feeds), model)
    return replace(changed, feeds=probes.feeds)


def with_largest_error(
    as_given: Probes, rebuilt: Probes, shifted: Probes, *, bounded: bool
) -> Probes:
    """Return probes with the float32 outputs that are the least exact.

    One computation in float32 may be exact by chance: for a single image of
    the 132 M hybrid, the errors of equal models were 0.9e-6 to 7e-6, and which
    one was small depended on the number of threads. What differs by more than
    an artifact always may, and by more than `FACTOR` times the smaller error of
    the model as given and as rebuilt, computes something else, and must not
    become the tolerance. In an unusual regime, `shifted` may differ `FACTOR`
    times as much: where large summands cancel in a few places, both models may
    be off by 1.6e-6, and a runtime, like a rounding step of the input, by 4e-5.

    Args:
        bounded: whether that is true of `shifted` too. It is not if the
            reference has the same rounding errors as the model as given. An
            unusual regime in which rounding changes a lot is then left out,
            since Keras is too inexact there.
    """
    candidates = as_given, rebuilt, shifted
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


def with_drift(probes: Probes, layers: int) -> Probes:
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


def weighted_levels(model: keras.Model) -> int:
    """Return how many layers with weights may follow each other."""
    return sum(
        any(getattr(node.operation, "weights", ()) for node in nodes)
        for nodes in model._nodes_by_depth.values()
    )
