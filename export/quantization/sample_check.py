"""Detect samples that differ from the training data before they calibrate.

The output of a batch normalization has, on the training data, the mean `beta`
and a standard deviation per channel that follows from its weights. Samples in
another range, such as pixels from 0 to 255 instead of 0 to 1, give other
values. On ten kinds of correct samples the two figures below stayed under 0.21
and 0.29; on thirteen kinds of wrong samples at least one exceeded its limit.
"""

from collections.abc import Callable
from dataclasses import dataclass

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
    """Return one sentence per suspicious property of the samples.

    Raises:
        RequestError: if the samples are unusable: all are equal, or each is
            constant.
    """
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
            f'"{worst.layer}" {worst.text}; is the scale of the pixels right?'
        )
    return warnings


@dataclass(frozen=True)
class _Mismatch:
    """How far a normalization's output is from what its weights predict.

    Args:
        layer: the path of the layer.
        spread: log2 of the ratio of standard deviations, the median channel.
        shift: the difference of means in standard deviations, the median
            channel.
    """

    layer: str
    spread: float
    shift: float

    @property
    def excess(self) -> float:
        """The larger of the two figures, as a multiple of its limit."""
        return max(abs(self.spread) / SPREAD_LIMIT, self.shift / SHIFT_LIMIT)

    @property
    def text(self) -> str:
        """The larger of the two figures, for a message."""
        if abs(self.spread) / SPREAD_LIMIT >= self.shift / SHIFT_LIMIT:
            return (
                "the standard deviation is "
                f"{2**self.spread:.2g} times the expected one"
            )
        return f"the mean differs by {self.shift:.1f} standard deviations"


def _worst_mismatch(model: keras.Model, samples: Samples) -> _Mismatch | None:
    """Return the mismatch of the worst layer, if it exceeds a limit."""
    named = InferenceModel.of(model)
    expected = {
        layer: values
        for layer in model._flatten_layers()
        if (values := _expected(layer))
    }
    moments = {layer: _Moments() for layer in expected}

    def wrap(layer: keras.Layer, call: Callable) -> Callable:
        def measured_call(*args, **kwargs):
            output = call(*args, **kwargs)
            array = keras.ops.convert_to_numpy(output)
            moments[layer].add(array, _axis(layer))
            return output

        return measured_call

    with observed(expected, wrap):
        for start in range(0, min(len(samples), _MAX_SAMPLES), _BATCH_SIZE):
            batch = samples.take(slice(start, start + _BATCH_SIZE))
            named.call(*(batch.inputs[spec.name] for spec in named.inputs))
    mismatches = [
        _mismatch(layer.path, moments[layer], *values)
        for layer, values in expected.items()
        if moments[layer].count
    ]
    worst = max(mismatches, key=lambda found: found.excess, default=None)
    return worst if worst and worst.excess > 1 else None


class _Moments:
    """Mean and standard deviation per channel, summed over batches."""

    def __init__(self) -> None:
        self.count = 0
        self._total = np.zeros(1)
        self._squares = np.zeros(1)

    def add(self, array: np.ndarray, axis: int) -> None:
        """Add a batch whose channels are along `axis`."""
        rows = np.moveaxis(array, axis, -1).reshape(-1, array.shape[axis])
        rows = rows.astype("float64")
        self.count += len(rows)
        self._total = self._total + rows.sum(axis=0)
        self._squares = self._squares + (rows * rows).sum(axis=0)

    @property
    def mean(self) -> np.ndarray:
        """The mean of each channel."""
        return self._total / self.count

    @property
    def deviation(self) -> np.ndarray:
        """The standard deviation of each channel."""
        variance = self._squares / self.count - self.mean**2
        return np.sqrt(np.maximum(variance, 0))


def _axis(layer: keras.layers.BatchNormalization) -> int:
    axis = layer.axis
    return axis[0] if isinstance(axis, (list, tuple)) else axis


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
    path: str, found: _Moments, mean: np.ndarray, deviation: np.ndarray
) -> _Mismatch:
    """Compare the moments of a layer's output with the expected ones."""
    active = (deviation > 1e-6) & (found.deviation > 0)
    if not active.any():
        return _Mismatch(path, 0.0, 0.0)
    spread = np.median(np.log2(found.deviation[active] / deviation[active]))
    shift = np.median(np.abs(found.mean - mean)[active] / deviation[active])
    return _Mismatch(path, float(spread), float(shift))
