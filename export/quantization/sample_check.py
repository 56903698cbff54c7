"""Detect samples that differ from the training data before they calibrate.

The output of a batch normalization has, on the training data, the mean `beta`
and a standard deviation per channel that follows from its weights. Samples in
another range, such as pixels from 0 to 255 instead of 0 to 1, give other
values. On ten kinds of correct samples the two figures below stayed under 0.21
and 0.29; on thirteen kinds of wrong samples at least one exceeded its limit.
"""

import keras
import numpy as np

from keras_inception_export.data.samples import Samples
from keras_inception_export.errors import RequestError
from keras_inception_export.model.call_hooks import observed
from keras_inception_export.model.inference_model import InferenceModel
from keras_inception_export.quantization.split import FEW_SAMPLES

SPREAD_LIMIT = 0.7  # log2 of the ratio of standard deviations
SHIFT_LIMIT = 0.4  # in standard deviations
_BATCH_SIZE = 4
_MAX_SAMPLES = 100


def check_samples(model: keras.Model, samples: Samples) -> list[str]:
    """Return one sentence per suspicious property of the samples."""
    warnings = []
    for name, array in samples.inputs.items():
        if array.ndim < (2 if array.dtype.kind == "f" else 3):
            continue  # indices of words or categories
        rows = array.reshape(len(array), -1)
        constant = np.zeros(len(rows), bool)
        if rows.shape[1] > 1:
            constant = (rows == rows[:, :1]).all(axis=1)
        if constant.all() or (rows == rows[0]).all():
            what = "constant" if constant.all() else "equal"
            raise RequestError(
                f'the samples for "{name}" are all {what}, so no range can be '
                "measured on them; use real data"
            )
        if constant.mean() > 0.1:
            warnings.append(
                f'{constant.sum()} of {len(rows)} samples for "{name}" are '
                "constant"
            )
    if len(samples) < FEW_SAMPLES:
        warnings.append(
            f"{len(samples)} samples to calibrate on are few; with 200, int8 "
            "is several dB more accurate"
        )
    worst = _worst_mismatch(model, samples)
    if worst:
        warnings.append(
            "the samples do not look like what the model was trained on: in "
            f"{worst}; is the scale of the pixels right?"
        )
    return warnings


def _worst_mismatch(model: keras.Model, samples: Samples) -> str:
    """Return which layer differs most from what its weights predict, and how.

    The text is empty if no difference exceeds a limit.
    """
    named = InferenceModel.of(model)
    expected = {
        layer: values
        for layer in model._flatten_layers()
        if (values := _expected(layer))
    }
    sums: dict = {}  # per layer, rows: numbers of values, sums, sums of squares

    def measure(layer, call, *args, **kwargs):
        output = call(*args, **kwargs)
        array = keras.ops.convert_to_numpy(output).astype("float64")
        rows = np.moveaxis(array, layer.axis, -1)
        rows = rows.reshape(-1, rows.shape[-1])
        number = np.full(rows.shape[1], len(rows))
        batch = [number, rows.sum(axis=0), (rows * rows).sum(axis=0)]
        sums[layer] = sums.get(layer, 0) + np.array(batch)
        return output

    with observed(expected, measure):
        for start in range(0, min(len(samples), _MAX_SAMPLES), _BATCH_SIZE):
            batch = samples.take(slice(start, start + _BATCH_SIZE))
            named.call(*(batch.inputs[spec.name] for spec in named.inputs))
    mismatches = [
        (*_mismatch(found, *expected[layer]), layer.path)
        for layer, found in sums.items()
    ]
    default = 0.0, "", ""
    excess, text, path = max(mismatches, key=lambda x: x[0], default=default)
    return f'"{path}" {text}' if excess > 1 else ""


def _expected(layer: keras.Layer) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the mean and deviation per channel on the training data.

    `None` for other layers than batch normalizations, and untrained ones.
    """
    if not isinstance(layer, keras.layers.BatchNormalization):
        return None
    mean, variance = (
        keras.ops.convert_to_numpy(value).astype("float64")
        for value in (layer.moving_mean, layer.moving_variance)
    )
    if not mean.any() and (variance == 1).all():
        return None
    deviation = np.sqrt(variance / (variance + layer.epsilon))
    if layer.scale:
        deviation = deviation * np.abs(keras.ops.convert_to_numpy(layer.gamma))
    beta = np.zeros_like(mean)
    if layer.center:
        beta = keras.ops.convert_to_numpy(layer.beta)
    return beta, deviation


def _mismatch(
    sums: np.ndarray, mean: np.ndarray, deviation: np.ndarray
) -> tuple[float, str]:
    """Compare the sums of a layer's output with the expected moments.

    The figures are those of the median channel. Return the larger one, as a
    multiple of its limit, and a text that says what it is.
    """
    number, total, squares = sums
    found_mean = total / number
    found = np.sqrt(np.maximum(squares / number - found_mean**2, 0))
    active = (deviation > 1e-6) & (found > 0)
    if not active.any():
        return 0.0, ""
    spread = np.median(np.log2(found[active] / deviation[active]))
    shift = np.median(np.abs(found_mean - mean)[active] / deviation[active])
    excess = abs(spread) / SPREAD_LIMIT, shift / SHIFT_LIMIT
    if excess[0] >= excess[1]:
        ratio = f"{2**spread:.2g} times the expected one"
        return excess[0], f"the standard deviation is {ratio}"
    return excess[1], f"the mean differs by {shift:.1f} standard deviations"
