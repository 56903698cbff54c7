"""Samples that cannot be right, told before they spoil a calibration.

What a batch normalization gives has the mean `beta` and, on the data that the
model was trained on, a standard deviation a channel that its moving variance
tells. Samples in another range, such as pixels from 0 to 255 in place of 0 to
1, give others. On ten kinds of right samples the figures below stayed under
0.21 and 0.29; on thirteen kinds of wrong ones one of them was beyond its
limit.
"""

from dataclasses import dataclass

import keras
import numpy as np

from keras_inception_export.diagnosis.capture import observed
from keras_inception_export.errors import RequestError
from keras_inception_export.model.inference_model import InferenceModel
from keras_inception_export.quantization.split import FEW

SPREAD_LIMIT = 0.7  # log2 of the ratio of standard deviations
SHIFT_LIMIT = 0.4  # in standard deviations
_BATCH = 4
_MOST = 100  # samples looked at


def check_samples(model, samples):
    """Return a warning, a sentence, for each thing that looks wrong.

    Args:
        model: the original Functional model, with its batch normalizations.
        samples: what the calibration will see.

    Raises:
        RequestError: if the samples cannot be of use: all are equal, or each
            is one constant.
    """
    warnings = []
    for name, array in samples.inputs.items():
        if array.ndim < (2 if array.dtype.kind == "f" else 3):
            continue  # numbers of words or of categories
        rows = array.reshape(len(array), -1)
        constant = np.zeros(len(rows), bool)
        if rows.shape[1] > 1:
            constant = (rows == rows[:, :1]).all(axis=1)
        if constant.all() or (rows == rows[0]).all():
            what = "constant" if constant.all() else "equal"
            raise RequestError(
                f'the samples for "{name}" are all {what}, so no range can be '
                "told from them; give real data"
            )
        if constant.mean() > 0.1:
            warnings.append(
                f'{constant.sum()} of {len(rows)} samples for "{name}" are '
                "constant"
            )
    if len(samples) < FEW:
        warnings.append(
            f"{len(samples)} samples to calibrate on are few; 200 give int8 "
            "several dB more"
        )
    worst = _worst_misfit(model, samples)
    if worst:
        warnings.append(
            "the samples do not look like what the model was trained on: in "
            f'"{worst.layer}" {worst.text}; is the scale of the pixels right?'
        )
    return warnings


@dataclass(frozen=True)
class _Misfit:
    layer: str
    spread: float
    shift: float

    @property
    def excess(self):
        return max(abs(self.spread) / SPREAD_LIMIT, self.shift / SHIFT_LIMIT)

    @property
    def text(self):
        if abs(self.spread) / SPREAD_LIMIT >= self.shift / SHIFT_LIMIT:
            return f"the values spread {2**self.spread:.2g} times as far"
        return f"the mean is off by {self.shift:.1f} standard deviations"


def _worst_misfit(model, samples):
    """Return the normalization that fits least, if it is beyond a limit."""
    named = InferenceModel.of(model)
    moments: dict[int, _Moments] = {}
    layers = [layer for layer in model._flatten_layers() if _expected(layer)]

    def counting(layer, call):
        def counted(*args, **kwargs):
            output = call(*args, **kwargs)
            array = keras.ops.convert_to_numpy(output)
            moments.setdefault(id(layer), _Moments()).add(array, _axis(layer))
            return output

        return counted

    with observed(layers, counting):
        for start in range(0, min(len(samples), _MOST), _BATCH):
            batch = samples.take(slice(start, start + _BATCH))
            named.call(*(batch.inputs[spec.name] for spec in named.inputs))
    misfits = [
        _misfit(layer, moments[id(layer)])
        for layer in layers
        if id(layer) in moments
    ]
    worst = max(misfits, key=lambda m: m.excess, default=None)
    return worst if worst and worst.excess > 1 else None


class _Moments:
    """Mean and variance of each channel, from batch to batch."""

    def __init__(self):
        self.count = self.total = self.squares = 0

    def add(self, array, axis):
        rows = np.moveaxis(array, axis, -1).reshape(-1, array.shape[axis])
        rows = rows.astype("float64")
        self.count += len(rows)
        self.total += rows.sum(axis=0)
        self.squares += (rows * rows).sum(axis=0)

    @property
    def mean(self):
        return self.total / self.count

    @property
    def deviation(self):
        return np.sqrt(np.maximum(self.squares / self.count - self.mean**2, 0))


def _axis(layer):
    axis = layer.axis
    return axis[0] if isinstance(axis, (list, tuple)) else axis


def _expected(layer):
    """Return mean and deviation a channel after training, if it tells."""
    if not isinstance(layer, keras.layers.BatchNormalization):
        return None
    mean, variance = (
        keras.ops.convert_to_numpy(value).astype("float64")
        for value in (layer.moving_mean, layer.moving_variance)
    )
    if not mean.any() and (variance == 1).all():
        return None  # never trained
    deviation = np.sqrt(variance / (variance + layer.epsilon))
    if layer.scale:
        deviation = deviation * np.abs(keras.ops.convert_to_numpy(layer.gamma))
    beta = np.zeros_like(mean)
    if layer.center:
        beta = keras.ops.convert_to_numpy(layer.beta)
    return beta, deviation


def _misfit(layer, moments):
    mean, deviation = _expected(layer)
    alive = (deviation > 1e-6) & (moments.deviation > 0)
    if not alive.any():
        return _Misfit(layer.path, 0.0, 0.0)
    spread = np.median(np.log2(moments.deviation[alive] / deviation[alive]))
    shift = np.median(np.abs(moments.mean - mean)[alive] / deviation[alive])
    return _Misfit(layer.path, float(spread), float(shift))
