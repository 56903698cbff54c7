"""What each channel of each layer contributes to the outputs of a model.

A channel is verified if an artifact that computes it wrongly differs in some
output, on some probe, by more than the tolerance. The extreme cases are an
artifact in which it is zero, and one in which it is constant. How much either
would change the outputs is estimated to first order: the sum over all
positions of `(value - replacement) * gradient`, where the gradient is that of a
random projection of the outputs. Each value of an output is projected with a
random sign, relative to the largest value in its column (the smallest, of its
columns along several axes), and divided by the root of their number: the
projection is as large as the change of a typical value, and seldom larger than
the largest change, which is what verification compares.

In networks of rectified units the estimate is zero exactly where the true
effect is: for units that are not active, or that nothing active reads. Where
an output has no gradient, as an index, a channel counts if it varies.
"""

import functools
import hashlib
from collections.abc import Callable, Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf

from keras_inception_export.data.batching import Arrays
from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.model.call_hooks import (
    is_composite,
    layers_within,
    observed,
)
from keras_inception_export.model.inference_model import InferenceModel
from keras_inception_layers import ConvBN

SPEED = 2e10
"""Multiplications per second of a nominal processor core. Work is limited by
this figure rather than the clock, so that an export is reproducible."""

CALL_SECONDS = 0.01
"""The least time of a call."""

LARGE = 0.25
"""The nominal seconds per sample from which a model is not traced. A trace
takes seconds; without one a call takes about twice as long."""

SMALLEST = 1e-6
"""The smallest column that counts, relative to the largest of its output."""


def estimated(parts: np.ndarray) -> np.ndarray:
    """Return the effect of each channel on the outputs, per sample.

    It is the smaller of that of zeroing it and that of making it constant. In
    a single sample it cannot be told which channels are constant.

    Args:
        parts: per sample and channel, as `ObservedModel.measure` returns them:
            its mean value, the sum of all values, each times its gradient, and
            the sum of the gradients.
    """
    mean, weighted, gradient = parts
    effects = np.abs(weighted)
    if len(mean) > 1:
        mean = np.where(np.isfinite(mean), mean, 0.0).mean(axis=0)
        effects = np.minimum(effects, np.abs(weighted - mean * gradient))
    return np.nan_to_num(effects, nan=0.0, posinf=0.0)


class ObservedModel:
    """A model whose layers are observed while it runs.

    Args:
        inference_model: the model.
        feed: a batch with the shapes of all others.
    """

    def __init__(self, inference_model: InferenceModel, feed: Arrays):
        self.inference_model = inference_model
        self.specs = inference_model.inputs
        self.fixed_batch = self.specs[0].shape[0]
        self.layers: list[tuple[keras.Layer, int]] = []
        self._has_layers = False  # which may be none
        self.multiplications = 0.0  # per sample
        # Whether TensorFlow has a gradient of every operation, for its sizes,
        # on this processor.
        self.differentiable = True
        self._known: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self._signature = [
            tf.TensorSpec((self.fixed_batch, *feed[x.name].shape[1:]), x.dtype)
            for x in self.specs
        ]
        if self.fixed_batch:
            self.measure(feed)
            return
        # An axis of two is hardly anything but that of samples.
        parts, tops = self.measure({x: feed[x][[0, 0]] for x in feed})
        # Of one sample, it is the same; a call of a large model takes seconds.
        single = {x: feed[x][:1] for x in feed}
        self._known[self._key(single)] = parts[:, :1], tops[:1]

    @functools.cached_property
    def _traced(self) -> Callable:
        try:
            return _traced_once(self._effects, self._signature)
        except Exception:  # some models run, and cannot be traced
            return self._effects

    @functools.cached_property
    def _ascent(self) -> Callable:
        targets = tf.TensorSpec((None,), "int32")
        return _traced_once(self._gradient, [targets, *self._signature])

    @property
    def is_large(self) -> bool:
        """Whether a few calls take so long that tracing does not pay."""
        return self.seconds(self.fixed_batch or 1) > LARGE

    def seconds(self, samples: int) -> float:
        """Return the nominal time of one call with gradients."""
        return CALL_SECONDS + 3 * samples * self.multiplications / SPEED

    def measure(self, feed: Arrays) -> tuple[np.ndarray, np.ndarray]:
        """Return what `estimated` takes, and the largest value of each channel.

        Those values are before the activation, per sample and channel.
        """
        key = self._key(feed)
        if key not in self._known:
            is_traced = self.layers and not self.is_large
            try:
                run = self._traced if is_traced else self._effects
                *parts, tops = [x.numpy() for x in run(*self._tensors(feed))]
            except tf.errors.OpError:
                if not self.differentiable:
                    raise
                self.differentiable = False
                self._traced = self._effects  # which has no gradients now
                return self.measure(feed)
            self._known[key] = np.stack(parts), tops
        return self._known[key]

    def ascent(
        self, feed: Arrays, targets: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Return, for each float input, the gradient of one channel per sample.

        It is that of the channel's largest value before its activation.
        """
        names = [spec.name for spec in self.specs if spec.takes_reals]
        try:
            found = self._ascent(
                tf.constant(targets, "int32"), *self._tensors(feed)
            )
        except Exception:
            self.differentiable = False
            return {name: np.zeros_like(feed[name]) for name in names}
        return {
            name: np.nan_to_num(array.numpy(), posinf=0, neginf=0)
            for name, array in zip(names, found, strict=True)
        }

    def _key(self, feed: Arrays) -> str:
        digest = hashlib.sha256()
        for spec in self.specs:
            digest.update(np.ascontiguousarray(feed[spec.name]).data)
        return digest.hexdigest()

    def _tensors(self, feed: Arrays) -> list[tf.Tensor]:
        return [tf.constant(feed[spec.name], spec.dtype) for spec in self.specs]

    def _effects(self, *inputs):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([x for x in inputs if x.dtype.is_floating])
            seen, tops, outputs = self._run(inputs, watch=tape.watch)
            total = _projection(outputs, self.inference_model.outputs)
        values = [value for _, value in seen]
        gradients = [None] * len(values)
        try:
            if self.differentiable:
                gradients = tape.gradient(total, values)
        except Exception:  # an operation has none, or that of a layer fails
            self.differentiable = False
        if not self._has_layers:  # a trace does not know all sizes
            self._has_layers = True
            self.layers = [(x, _flat(x, value).shape[-1]) for x, value in seen]
            self.multiplications = sum(_multiplications(*x) for x in seen)
        found = [[_no_channels(inputs)] * 3]
        for (layer, value), gradient in zip(seen, gradients, strict=True):
            if gradient is None:
                gradient = tf.ones_like(value) / _largest(value, axis=None)
            value, gradient = _flat(layer, value), _flat(layer, gradient)
            found.append(
                [
                    tf.reduce_mean(value, axis=1),
                    tf.reduce_sum(value * gradient, axis=1),
                    tf.reduce_sum(gradient, axis=1),
                ]
            )
        parts = zip(*found, strict=True)
        return [*(tf.concat(part, axis=-1) for part in parts), tops]

    def _gradient(self, targets, *inputs):
        floats = [x for x in inputs if x.dtype.is_floating]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(floats)
            _, tops, _ = self._run(inputs)
            reached = tf.reduce_sum(tf.gather(tops, targets, batch_dims=1))
        return tape.gradient(reached, floats, unconnected_gradients="zero")

    def _run(self, inputs, watch: Callable | None = None):
        """Return layers with their outputs, their tops, and the outputs."""
        seen: list[tuple[keras.Layer, tf.Tensor]] = []
        before: dict[int, tf.Tensor] = {}  # values before an activation
        graph = getattr(inputs[0], "graph", None)
        known = [id(layer) for layer, _ in self.layers]

        def observe(layer, call, *args, **kwargs):
            result = call(*args, **kwargs)
            value = keras.tree.flatten(result)[0]
            # A tensor within a loop cannot be read outside it.
            same_graph = getattr(value, "graph", None) is graph
            # One value for all samples has an axis of one, as one sample has.
            new = not self._has_layers or id(layer) in known
            if new and same_graph and _has_channels(value, inputs[0].shape[0]):
                seen.append((layer, value))
                if watch:
                    watch(value)
            return result

        def keep(layer, activation, value):
            before[id(layer)] = value
            return activation(value)

        model = self.inference_model.model
        active = filter(_ends_in_activation, model._flatten_layers())
        with (
            observed(_weighted_layers(model), observe),
            observed(active, keep, "activation"),
        ):
            outputs = self.inference_model.call(*inputs)
        tops = [_no_channels(inputs)]
        for layer, value in seen:
            top = before.get(id(layer), value)
            tops.append(tf.reduce_max(_flat(layer, top), axis=1))
        return seen, tf.concat(tops, axis=-1), outputs


def _no_channels(inputs: Sequence[tf.Tensor]) -> tf.Tensor:
    return tf.zeros((tf.shape(inputs[0])[0], 0))


def _traced_once(function: Callable, signature: Sequence) -> Callable:
    # A `tf.function` itself is traced by each of its first two calls.
    traced = tf.function(function, input_signature=signature, autograph=False)
    return traced.get_concrete_function()


def _projection(
    outputs: Sequence[tf.Tensor], specs: Sequence[TensorSpec]
) -> tf.Tensor:
    """Return the sum of random projections of all floating-point outputs."""
    total = tf.constant(0.0)
    for index, (output, spec) in enumerate(zip(outputs, specs, strict=True)):
        if output.dtype.is_floating:
            output = tf.cast(output, "float32")
            if output.shape.rank == 0:
                output = output[tf.newaxis]
            shape = tf.shape(output)
            signs = tf.random.stateless_uniform(
                shape, (0, index), 0, 2, "int32"
            )
            signs = tf.cast(2 * signs - 1, "float32")
            number = tf.cast(tf.size(output[:1]), "float32")
            scale = _column_scale(output, spec.column_axes) * tf.sqrt(number)
            total += tf.reduce_sum(output * signs / tf.stop_gradient(scale))
    return total


def _column_scale(output: tf.Tensor, axes: Sequence[int]) -> tf.Tensor:
    """Return the range of the smallest column of each value."""
    scale = whole = _largest(output, None)
    rank = output.shape.rank
    if rank > 1:
        for axis in axes:
            others = [x for x in range(rank) if x != axis % rank]
            scale = tf.minimum(scale, _largest(output, others))
    return tf.maximum(scale, SMALLEST * whole)


def _largest(tensor: tf.Tensor, axis) -> tf.Tensor:
    largest = tf.reduce_max(tf.abs(tensor), axis, keepdims=True)
    return tf.maximum(largest, np.finfo("float32").tiny)


def _weighted_layers(layer: keras.Layer) -> Iterator[keras.Layer]:
    """Yield the layers with weights whose outputs are observed."""
    for child in layers_within(layer, is_composite):
        own = child._trainable_variables or child._non_trainable_variables
        if own if is_composite(child) else child.weights:
            yield child


def _has_channels(tensor: tf.Tensor, samples: int | None) -> bool:
    """Return whether it has samples, unlike an embedding of positions."""
    return (
        tensor.dtype.is_floating
        and tensor.shape.rank >= 2
        and tensor.shape[0] == samples
    )


def _flat(layer: keras.Layer, tensor: tf.Tensor) -> tf.Tensor:
    """Return a tensor as (samples, positions, channels)."""
    if getattr(layer, "data_format", None) == "channels_first":
        rank = tensor.shape.rank
        tensor = tf.transpose(tensor, [0, *range(2, rank), 1])
    return tf.reshape(tensor, (tf.shape(tensor)[0], -1, tensor.shape[-1]))


def _multiplications(layer: keras.Layer, value: tf.Tensor) -> float:
    """Return the approximate number of multiplications per sample."""
    used = max(np.prod(weight.shape) for weight in layer.weights)
    # Each weight of the largest kind is used once per position.
    return float(used * _flat(layer, value).shape[1])


def _ends_in_activation(layer: keras.Layer) -> bool:
    """Return whether the last step of a layer is its activation, a function."""
    known = isinstance(layer, ConvBN) or type(layer).__module__.startswith(
        ("keras.src.layers.convolutional.", "keras.src.layers.core.")
    )
    activation = getattr(layer, "activation", None)
    return known and not isinstance(activation, (keras.Layer, type(None)))
