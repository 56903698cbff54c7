"""The values that each input of a model takes in use.

They follow from what consumes the input: the size of an embedding, bins, a
vocabulary, a normalization or rescaling, wherever in the model it is.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_inception_export.data.domain import Domain
from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.model.inference_model import InferenceModel
from keras_inception_export.model.input_flow import Flow, follow

WIDE = 1000.0
"""The magnitude of integers that nothing limits, and of floats that are made
integers. They have both signs: quotients and remainders differ in runtimes."""

DEFAULT, TRAINED, RESCALED, STEPPED, EXPECTED, LISTED, BOUNDED = range(7)
"""The kinds of claims, from the weakest to the strongest."""


LEVELS = 64
"""The number of levels of a column between whose ends all values count."""


@dataclass(frozen=True)
class Claim:
    """What a consumer expects of its input.

    Args:
        kind: how strong the claim is; a stronger one replaces a weaker one.
        low: the smallest value.
        high: the largest value.
        levels: the values to choose from; `None`: all between.
    """

    kind: int
    low: Any
    high: Any
    levels: np.ndarray | None = None


@dataclass(frozen=True)
class Padding:
    """The value of masked steps."""

    value: float


def input_domains(model: keras.Model) -> dict[str, Domain]:
    """Return the domain of each input of a Functional model, by name."""
    claims: list[tuple[Claim | Padding, Flow]] = []

    def consume(consumer, position: int, flow: Flow, ends: bool) -> None:
        if isinstance(consumer, keras.layers.Layer):
            found = _layer_claims(consumer) if position == 0 else []
        else:
            rule = OPERATIONS.get(getattr(consumer, "type", ""))
            found = [rule(consumer, position)] if rule else []
            if ends:
                found.append(_rescaled(flow))
        claims.extend((claim, flow) for claim in found if claim)

    numbers = follow(model, consume)
    named = InferenceModel.of(model)
    domains = {}
    for spec, index in zip(named.inputs, named.input_order, strict=True):
        elements = _Elements(numbers[index], _default(spec))
        for claim, flow in claims:
            elements.add(claim, flow)
        columns = (spec.shape[-1] or 1) if len(spec.shape) > 1 else 1
        is_float = spec.dtype.startswith("float")
        domain = elements.domain(columns, is_float)
        if _is_mask(spec):
            domain = replace(domain, first=1.0)
        domains[spec.name] = domain
    return domains


class _Elements:
    """The strongest claim on each element of one input."""

    def __init__(self, numbers: np.ndarray, default: Claim):
        self.first, self.size = numbers.min(), numbers.size
        self.claim = np.full(self.size, default)
        self.kind = np.full(self.size, default.kind)
        self.low = np.full(self.size, float(default.low))
        self.high = np.full(self.size, float(default.high))
        self.scale, self.offset = np.ones(self.size), np.zeros(self.size)
        self.padding: float | None = None

    def add(self, claim: Claim | Padding, flow: Flow) -> None:
        """Add a claim on those elements that a flow holds."""
        numbers = flow.elements - self.first
        used = (numbers >= 0) & (numbers < self.size) & (flow.scale != 0)
        at, scale, offset = numbers[used], flow.scale[used], flow.offset[used]
        if isinstance(claim, Padding):
            if len(set(at)) == self.size:
                self.padding = float((claim.value - offset[0]) / scale[0])
            return
        limits = [
            (np.broadcast_to(limit, used.shape)[used] - offset) / scale
            for limit in (claim.low, claim.high)
        ]
        low, high = np.sort(limits, axis=0)
        if claim.kind == BOUNDED:
            both = self.kind[at] == BOUNDED
            low = np.where(both, np.maximum(low, self.low[at]), low)
            high = np.where(both, np.minimum(high, self.high[at]), high)
        new = (claim.kind > self.kind[at]) | (claim.kind == BOUNDED)
        at = at[new]
        self.claim[at], self.kind[at] = claim, claim.kind
        self.low[at], self.high[at] = low[new], high[new]
        self.scale[at], self.offset[at] = scale[new], offset[new]

    def domain(self, columns: int, is_float: bool) -> Domain:
        """Return the domain, given the size of the last axis."""
        elements = np.arange(self.size).reshape(-1, columns)
        kind = self.kind[elements]
        chosen = elements[kind.argmax(axis=0), np.arange(columns)]
        among = kind == kind.max(axis=0)
        low = np.where(among, self.low[elements], self.low[chosen])
        high = np.where(among, self.high[elements], self.high[chosen])
        bounded = self.kind[chosen] == BOUNDED
        whole = bounded & (self.scale[chosen] == 1)
        return Domain(
            _shared(np.where(bounded, low.max(axis=0), low.min(axis=0))),
            _shared(np.where(bounded, high.min(axis=0), high.max(axis=0))),
            _shared(whole) if is_float else True,
            _shared(bounded),
            self._levels(chosen),
            self.padding,
            assumed=bool(self.kind.max() <= TRAINED),
        )

    def _levels(self, chosen: np.ndarray) -> np.ndarray | None:
        """Return the levels of each column, repeated to the same number."""
        found = [self.claim[element].levels for element in chosen]
        if all(levels is None for levels in found):
            return None
        columns = [
            np.linspace(self.low[element], self.high[element], LEVELS)
            if levels is None
            else (levels - self.offset[element]) / self.scale[element]
            for levels, element in zip(found, chosen, strict=True)
        ]
        size = max(map(len, columns))
        return _shared(np.stack([np.resize(x, size) for x in columns], axis=-1))


def _shared(columns: np.ndarray) -> np.ndarray:
    """Return one value instead of one per column, if they are all equal.

    Values are rounded like float32, in which models hold their constants.
    """
    if columns.dtype.kind == "f":
        columns = columns.astype("float32").astype("float64")
    same = (columns == columns[..., :1]).all()
    return columns[..., 0] if same else columns


def _default(spec: TensorSpec) -> Claim:
    """Return the claim on an input whose consumers expect nothing."""
    if spec.dtype.startswith("float"):
        return Claim(DEFAULT, 0, 1)
    if spec.dtype == "bool" or _is_mask(spec):
        return Claim(BOUNDED, 0, 1)
    limits = np.iinfo(spec.dtype)
    if limits.max < WIDE:
        return Claim(BOUNDED, limits.min, limits.max)
    return Claim(DEFAULT, max(-WIDE, limits.min), WIDE)


def _is_mask(spec: TensorSpec) -> bool:
    """Return whether an input says which steps are padding."""
    return not spec.dtype.startswith("float") and "mask" in spec.name


def _rescaled(flow: Flow) -> Claim | None:
    """Return the claim of an operation on values that were rescaled.

    With an offset, the range is centred: 0 to 255 for a scale of 1/127.5 and
    an offset of -1, or for an offset of -127.5. Else it ends at 1, but no range
    is smaller than 0 to 1: what is scaled up may be any computation.
    """
    changed = (flow.scale != 1) | (flow.offset != 0)
    if not changed.any():
        return None
    scale = np.where(flow.scale == 0, 1, flow.scale)
    centre = -flow.offset / scale
    end = np.where(scale > 0, 2 * centre, centre)
    end = np.where(centre > 0, end, np.maximum(1, 1 / np.abs(scale)))
    return Claim(RESCALED, flow.offset, end * scale + flow.offset)


def _bins(boundaries) -> Claim | None:
    """Return values within and on both sides of all bins, and boundaries."""
    boundaries = np.unique(np.asarray(boundaries, "float64"))
    if not boundaries.size:
        return None
    width = np.ptp(boundaries) / len(boundaries) or 1.0
    ends = boundaries[0] - width, boundaries[-1] + width
    inner = (boundaries[1:] + boundaries[:-1]) / 2
    exact = boundaries[boundaries.astype("float32") == boundaries]
    levels = np.concatenate([[ends[0]], inner, exact, [ends[1]]])
    return Claim(LISTED, *ends, levels)


def _lookup(layer) -> Claim:
    """Return the vocabulary of a lookup, and values that are not in it."""
    if layer.invert:
        return Claim(BOUNDED, 0, layer.vocabulary_size() - 1)
    known = np.array(layer.get_vocabulary(include_special_tokens=False), int)
    if layer.mask_token is not None:
        known = np.append(known, layer.mask_token)
    if not layer.num_oov_indices:
        return Claim(BOUNDED, known.min(), known.max(), known)
    high = known.max(initial=0)
    others = high + 1 + np.arange(max(2, len(known) // 4))
    return Claim(LISTED, known.min(initial=0), high, np.append(known, others))


def _normalized(layer) -> Claim:
    """Return two standard deviations on both sides of the mean."""
    if layer.invert:
        return Claim(EXPECTED, -2, 2)
    mean, variance = map(_array, (layer.mean, layer.variance))
    spread = 2 * np.sqrt(variance)
    return Claim(EXPECTED, mean - spread, mean + spread)


def _batch_normalized(layer) -> Claim | None:
    """Return the same of moving statistics, once they are not the initial."""
    mean, variance = map(_array, (layer.moving_mean, layer.moving_variance))
    if not mean.any() and (variance == 1).all():
        return None
    shape = [1] * layer.input_spec.ndim
    shape[layer.axis] = -1
    mean, spread = mean.reshape(shape), 2 * np.sqrt(variance).reshape(shape)
    return Claim(EXPECTED, mean - spread, mean + spread)


def _array(tensor) -> np.ndarray:
    return keras.ops.convert_to_numpy(tensor).astype("float64")


_layers = keras.layers
LAYERS: Mapping[type, Callable[[Any], Claim | Padding | None]] = {
    _layers.Embedding: lambda layer: Claim(BOUNDED, 0, layer.input_dim - 1),
    _layers.CategoryEncoding: lambda x: Claim(BOUNDED, 0, x.num_tokens - 1),
    _layers.IntegerLookup: _lookup,
    _layers.Normalization: _normalized,
    _layers.BatchNormalization: _batch_normalized,
    _layers.Masking: lambda layer: Padding(layer.mask_value),
}

ADJUSTING = tuple(
    getattr(_layers, name)
    for name in ("AutoContrast", "ContrastLimitedAdaptiveHistogramEqualization")
    if hasattr(_layers, name)  # older releases lack the latter
)
"""The layers that adjust a range of values at inference, too."""


def _layer_claims(layer: keras.Layer) -> list[Claim | Padding | None]:
    """Return what a layer expects of its first input."""
    claims = [LAYERS[kind](layer) for kind in LAYERS if isinstance(layer, kind)]
    if getattr(layer, "mask_zero", False):
        claims.append(Padding(0))
    if getattr(layer, "value_range", None) is not None:
        # The others change images in training only, and most users leave the
        # range at its default.
        kind = EXPECTED if isinstance(layer, ADJUSTING) else TRAINED
        claims.append(Claim(kind, *layer.value_range))
    return claims


def _gathered(op, position) -> Claim | None:
    """Return the indices of an array, if the input is an index."""
    if position != 1:
        return None
    axis = tf.get_static_value(op.inputs[2])
    size = op.inputs[0].shape[int(axis)]
    return size and Claim(BOUNDED, 0, size - 1)


def _one_hot(op, position) -> Claim | None:
    depth = tf.get_static_value(op.inputs[1])
    return None if depth is None else Claim(BOUNDED, 0, int(depth) - 1)


def _cast(op, position) -> Claim | None:
    source, target = op.inputs[0].dtype, op.outputs[0].dtype
    if target == tf.bool:
        return Claim(LISTED, 0, 1, np.array([0, 1]))
    if source.is_floating and target.is_integer:
        return Claim(STEPPED, -WIDE, WIDE)
    return None


def _compared(op, position) -> Claim | None:
    """Return both sides of a constant that usual values do not reach."""
    other = tf.get_static_value(op.inputs[1 - position])
    if other is None or np.size(other) != 1 or 0 <= other < 1:
        return None
    end = 2 * float(np.squeeze(other))
    return Claim(STEPPED, min(0.0, end), max(0.0, end))


def _searched(op, position) -> Claim | None:
    boundaries = tf.get_static_value(op.inputs[0])
    if position != 1 or boundaries is None:
        return None
    return _bins(boundaries)


OPERATIONS: Mapping[str, Callable[[Any, int], Claim | None]] = {
    "GatherV2": _gathered,
    "OneHot": _one_hot,
    "Cast": _cast,
    "Bucketize": lambda op, position: _bins(op.get_attr("boundaries")),
    **dict.fromkeys(("UpperBound", "LowerBound"), _searched),
    **dict.fromkeys(
        ("Greater", "GreaterEqual", "Less", "LessEqual"), _compared
    ),
    **dict.fromkeys(
        ("FloorMod", "FloorDiv", "TruncateMod", "TruncateDiv"),
        lambda op, position: Claim(STEPPED, -WIDE, WIDE),
    ),
}
