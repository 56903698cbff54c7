"""Measure which channels probes move, and search inputs that move more.

Inputs are searched by gradient ascent (DeepXplore, arXiv:1705.06640; NNSmith,
arXiv:2207.13066): each sample of a batch ascends on one channel that no probe
moves. See `channel_effects` for when a channel counts as moved.
"""

from collections import deque
from collections.abc import Mapping, Sequence

import keras
import numpy as np

from keras_inception_export.data.batching import Arrays, count
from keras_inception_export.data.coverage import Coverage, LayerCoverage
from keras_inception_export.data.domain import Domain
from keras_inception_export.model.channel_effects import (
    ObservedModel,
    estimated,
)
from keras_inception_export.model.inference_model import InferenceModel

TOLERANCE = 2e-6
"""The least effect that counts, relative to the largest value of a column: the
smallest tolerance of verification."""

SECONDS = 3.0
"""How long inputs are searched on a nominal processor."""

MEASURE_SECONDS = 3.5
"""How long inputs are measured: two images of a network of VGG16's size."""

BATCH = 32
"""Samples that ascend together."""

STEPS = 12
"""Steps of an ascent, each of `STEP` times the range of the input."""

STEP = 0.15

MAX_SAMPLES, MAX_VALUES = 16, 2**19
"""The most samples that a search returns, and the most values in them."""


def measure_coverage(
    inference_model: InferenceModel, feeds: Sequence[Arrays]
) -> Coverage:
    """Return which channels a model's inputs move.

    Only feeds of the most frequent shape are measured, from both ends of the
    list, which has the usual ones last, and as many as take about
    `MEASURE_SECONDS`, but at least one; of a large model, one sample per feed.
    """
    model, chosen = _observed(inference_model, feeds)
    moved = _best_effects(model, chosen) > TOLERANCE
    layers: dict[tuple, tuple[str, np.ndarray, np.ndarray]] = {}
    start = 0
    for layer, channels in model.layers:
        path, found = layer.path or layer.name, moved[start : start + channels]
        start += channels
        key = id(layer), channels  # an embedding has others in reverse
        if key in layers:  # a layer that is called twice
            found = found | layers[key][1]
        layers[key] = path, found, _dead_channels(layer, channels)
    return Coverage(
        tuple(
            LayerCoverage(path, len(found), int(found.sum()), int(dead.sum()))
            for path, found, dead in layers.values()
        )
    )


def search_inputs(
    inference_model: InferenceModel,
    feeds: Sequence[Arrays],
    domains: Mapping[str, Domain],
    seconds: float = SECONDS,
) -> list[Arrays]:
    """Return a few more inputs that move channels which the feeds do not.

    Only inputs that are neither whole numbers nor bounded ascend; others are
    drawn. The search takes so many `seconds` of a nominal processor, once the
    feeds are measured and the model is traced. If one ascent takes longer,
    nothing is searched.
    """
    model, chosen = _observed(inference_model, feeds)
    if model.is_large or not model.layers:
        return []
    search = _Search(model, chosen, domains, seconds)
    search.run()
    return search.kept()


def _observed(
    inference_model: InferenceModel, feeds: Sequence[Arrays]
) -> tuple[ObservedModel, list[Arrays]]:
    """Return the observed model, and the feeds to measure it on."""

    def shape_of(feed):
        return tuple(array.shape[1:] for array in feed.values())

    shapes = [shape_of(feed) for feed in feeds]
    shape = max(reversed(shapes), key=shapes.count)
    same = deque(feed for feed in feeds if shape_of(feed) == shape)
    model = inference_model.converted(
        ("observed", shape), lambda: ObservedModel(inference_model, same[-1])
    )
    chosen: list[Arrays] = []
    seconds = MEASURE_SECONDS
    while same:
        feed = same.popleft() if len(chosen) % 2 else same.pop()
        if model.is_large and not model.fixed_batch:
            feed = {name: array[:1] for name, array in feed.items()}
        seconds -= model.seconds(count(feed))
        if chosen and seconds < 0:
            break
        chosen.append(feed)
    return model, chosen


def _best_effects(model: ObservedModel, feeds: Sequence[Arrays]) -> np.ndarray:
    """Return the largest effect of each channel on any sample."""
    parts = [model.measure(feed)[0] for feed in feeds]
    return estimated(np.concatenate(parts, axis=1)).max(axis=0)


def _dead_channels(layer: keras.Layer, channels: int) -> np.ndarray:
    """Return which channels have no weights but zeros.

    It is known for weights whose last axis is that of the channels.
    """
    dead = np.ones(channels, bool)
    for weight in layer.weights:
        if tuple(weight.shape[-1:]) != (channels,):
            return np.zeros(channels, bool)
        rows = keras.ops.reshape(weight, (-1, channels))
        alive = keras.ops.any(keras.ops.not_equal(rows, 0), axis=0)
        dead &= ~keras.ops.convert_to_numpy(alive)
    return dead


class _Search:
    """A search for samples that move more channels."""

    def __init__(self, model, feeds, domains, seconds):
        self.model, self.domains, self.seconds = model, domains, seconds
        self.generator = np.random.default_rng(0)
        self.fixed = model.fixed_batch
        self.moved = _best_effects(model, feeds) > TOLERANCE
        self.before = self.moved.copy()
        self.dead = np.concatenate(
            [_dead_channels(*pair) for pair in model.layers]
        )
        self.samples = {name: x[:0] for name, x in feeds[0].items()}
        self.tops = np.zeros((0, len(self.moved)), "float32")
        self.effects = self.tops
        self.start = feeds

    def run(self) -> None:
        """Search until all channels are moved, or the time is spent."""
        batch = self.fixed or self.batch()
        step = self.model.seconds(batch)
        if step * (STEPS + 1) > self.seconds or self.moved.all():
            return
        for feed in self.start:
            self.add(feed)
        for coarse in (False, True):
            self.add(self.drawn(batch, coarse))
        if not any(map(self.ascends, self.model.specs)):
            while self.seconds > step and self.targets().size:
                self.add(self.drawn(batch))
            return
        targets = self.targets()
        for first in range(0, len(targets), batch):
            if self.seconds < step * (STEPS + 1):
                return
            chosen = targets[first : first + batch]
            chosen = chosen[~self.moved[chosen]]
            if chosen.size:
                self.ascend(np.resize(chosen, self.fixed or len(chosen)))

    def batch(self) -> int:
        """Return the number of samples for which all steps take the time."""
        for number in (BATCH, BATCH // 2, BATCH // 4, BATCH // 8, 1):
            if 4 * (STEPS + 1) * self.model.seconds(number) <= self.seconds:
                return number
        return 1

    def targets(self) -> np.ndarray:
        """Return the channels that nothing moves so far."""
        return np.flatnonzero(~self.moved & ~self.dead)

    def ascends(self, spec) -> bool:
        """Return whether some values of an input can be changed a little."""
        domain = self.domains[spec.name]
        whole = np.logical_or(domain.integers, domain.bounded)
        changes = spec.dtype.startswith("float") and not np.all(whole)
        return changes and self.model.differentiable

    def drawn(self, number: int, coarse: bool = False) -> Arrays:
        """Return random samples; coarse ones are equal in blocks of 3."""
        feed = {}
        for spec in self.model.specs:
            shape = (number, *self.samples[spec.name].shape[1:])
            array = self.domains[spec.name].draw(self.generator, shape)
            for axis in range(1, len(shape) - 1 if coarse else 0):
                array = np.take(array, np.arange(shape[axis]) // 3 * 3, axis)
            feed[spec.name] = array.astype(spec.dtype)
        return feed

    def add(self, feed: Arrays) -> None:
        """Measure samples, and keep them as candidates."""
        found, tops = self.model.measure(feed)
        effects = estimated(found)
        self.seconds -= self.model.seconds(count(feed))
        self.effects = np.concatenate([self.effects, effects])
        self.tops = np.concatenate([self.tops, tops])
        for name, array in feed.items():
            self.samples[name] = np.concatenate([self.samples[name], array])
        self.moved |= (effects > TOLERANCE).any(axis=0)

    def ascend(self, targets: np.ndarray) -> None:
        """Let one sample per target ascend on it, from the best one so far."""
        finite = np.nan_to_num(self.tops[:, targets], nan=-np.inf)
        rows = finite.argsort(axis=0)[-1]
        feed = {name: array[rows] for name, array in self.samples.items()}
        for step in range(STEPS):
            gradients = self.model.ascent(feed, targets)
            self.seconds -= self.model.seconds(len(targets))
            rate = STEP * (1 - step / STEPS)
            for spec in self.model.specs:
                if self.ascends(spec):
                    feed[spec.name] = self.stepped(
                        spec, feed[spec.name], gradients[spec.name], rate
                    )
        self.add(feed)

    def stepped(self, spec, values, gradient, rate):
        """Return the values after one step, within the domain."""
        domain = self.domains[spec.name]
        reach = (domain.high - domain.low) / 2
        axes = tuple(range(1, values.ndim))
        size = np.sqrt(np.mean(gradient**2, axis=axes, keepdims=True))
        gradient = gradient / np.maximum(size, np.finfo("float32").tiny)
        moved = values + rate * reach * np.clip(gradient, -3, 3)
        moved = np.clip(moved, domain.low, domain.high)
        whole = np.logical_or(domain.integers, domain.bounded)
        return np.where(whole, values, moved).astype(spec.dtype)

    def kept(self) -> list[Arrays]:
        """Return the fewest samples that move as many channels."""
        missing = self.moved & ~self.before
        if not missing.any():
            return []
        moves = self.effects > TOLERANCE
        size = sum(x[0].size for x in self.samples.values())
        most = self.fixed or min(MAX_SAMPLES, max(1, int(MAX_VALUES // size)))
        rows: list[int] = []
        while missing.any() and len(rows) < most:
            rows.append(int((moves & missing).sum(axis=1).argmax()))
            missing = missing & ~moves[rows[-1]]
        rows = list(np.resize(rows, self.fixed or len(rows)))
        return [{name: array[rows] for name, array in self.samples.items()}]
