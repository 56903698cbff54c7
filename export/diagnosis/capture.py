"""Capture layer references from a model while it runs.

`capture_layer_references` runs the inference model in float32 and float64 and
keeps a few values of every layer's output. It needs Keras and TensorFlow.
"""

import itertools
import math
import weakref
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_inception_export.data.batching import count
from keras_inception_export.diagnosis.layer_reference import (
    VALUES,
    Feeds,
    LayerReference,
    LayerReferences,
)
from keras_inception_export.model.call_hooks import (
    is_composite,
    layers_within,
    observed,
)
from keras_inception_export.model.inference_model import InferenceModel
from keras_inception_export.model.reference import compute
from keras_inception_layers import ConvBN


def capture_layer_references(
    inference_model: InferenceModel,
    feeds: Feeds,
    equalized: InferenceModel | None = None,
) -> LayerReferences:
    """Return a few float64 values of every layer's output.

    The layers are those of the inference model, not of the original model,
    whose layers may compute something else: batch normalization is folded.
    """
    layers = _layer_references(inference_model, feeds)
    if equalized is None or equalized is inference_model:
        return LayerReferences(layers)
    return LayerReferences(layers, {}, _layer_references(equalized, feeds))


def _layer_references(
    inference_model: InferenceModel, feeds: Feeds
) -> tuple[LayerReference, ...]:
    """Return one layer reference per layer, in the order in which they end."""
    references: list[LayerReference] = []
    float32 = _capture(inference_model, feeds, references)
    exact = replace(inference_model, dtype="float64")
    float64 = _capture(exact, feeds, references)
    layers = []
    for reference, (values, largest), (rounded, _) in zip(
        references, float64, float32, strict=True
    ):
        reference = replace(reference, values=values, scale=largest or 1.0)
        keras_error = reference.error(rounded)
        layers.append(replace(reference, keras_error=keras_error))
    return tuple(layers)


def _capture(
    inference_model: InferenceModel,
    feeds: Feeds,
    references: list[LayerReference],
) -> list[tuple[np.ndarray, float]]:
    """Return the values of each reference and the layer's largest magnitude.

    The first call of this function adds the references, without values. In
    float64, a model within the model that returns a layer's output in float32
    returns a copy of it, which has no reference.
    """
    samples = sum(map(count, feeds))
    captured: list = []
    calls: Counter[str] = Counter()
    adding = not references

    def capture(layer, facts, tensor):
        path = facts["layer"]
        if adding and start == 0:
            shape = (samples, *(tuple(tensor.shape[1:]) or (1,)))
            calls[path] += 1
            if calls[path] > 1:
                facts["layer"] += f"#{calls[path]}"
            references.append(_new_reference(layer, facts, shape))
        elif not any(
            x.layer.partition("#")[0] == path
            for x in references[len(captured) :][:1]
        ):
            return
        array = keras.ops.convert_to_numpy(tensor)
        reduced = references[len(captured)].reduce(array, start)
        captured.append((reduced, np.abs(array).max()))

    def call(*tensors):
        _call_observed(inference_model, tensors, captured, capture)
        return ()

    batches, start = [], 0
    for feed in feeds:
        captured.clear()
        compute(call, inference_model.inputs, feed)
        batches.append(list(captured))
        start += count(feed)
    found, by_layer = [], zip(*batches, strict=True)
    for reference, of_layer in zip(references, by_layer, strict=True):
        parts, largest = zip(*of_layer, strict=True)
        found.append((reference.to_values(parts), float(max(largest))))
    return found


def _call_observed(
    inference_model: InferenceModel,
    tensors: Sequence,
    captured: list,
    observe: Callable,
) -> None:
    """Call a model, and `observe(layer, facts, tensor)` with each output.

    `observe` adds to `captured`. What it added within a layer that fails is
    removed, since that layer runs again in float32.

    The layers are in the order in which they end. The facts are the `layer`,
    `output`, `source` and `other_sources` of a layer reference. For an output
    of the model that no observed layer computes, the layer is None.
    """
    layers = layers_within(
        # Runtimes merge the steps inside a `ConvBN`.
        inference_model.model,
        lambda x: is_composite(x) and not isinstance(x, ConvBN),
    )
    makers = [
        id(inference_model.model.outputs[index]._keras_history.operation)
        for index in inference_model.output_order
    ]
    names = [spec.name for spec in inference_model.outputs]
    outputs = dict(zip(makers, names, strict=True))
    batch = tuple(tensors[0].shape[:1])
    numbers = itertools.count()
    observed_tensors: dict = {}  # by id: the tensor and its number
    observed_layers = set()

    def number_of(tensor):
        reference, number = observed_tensors.get(id(tensor), (None, None))
        return number if reference and reference() is tensor else None

    def report(layer, path, output, tensor, inputs=()):
        shape = tuple(tensor.shape)
        is_float = keras.backend.is_float_dtype(tensor.dtype)
        if is_float and shape[:1] == batch and 0 not in shape:
            found = dict.fromkeys(map(number_of, inputs))
            source, *others = [x for x in found if x is not None] or [None]
            facts = {
                "layer": path,
                "output": output,
                "source": source,
                "other_sources": tuple(others),
            }
            observed_tensors[id(tensor)] = weakref.ref(tensor), next(numbers)
            observed_layers.add(id(layer))
            observe(layer, facts, tensor)

    def report_output(layer, call, *args, **kwargs):
        scope = tf.get_current_name_scope()
        start = len(captured)
        try:
            result = call(*args, **kwargs)
        except Exception:
            del captured[start:]
            raise
        flat = keras.tree.flatten(result)
        inputs = keras.tree.flatten((args, kwargs))
        # A layer that returns its input, or the output of the last layer in
        # it, has no output of its own.
        if (
            len(flat) == 1
            and number_of(flat[0]) is None
            and not any(flat[0] is tensor for tensor in inputs)
        ):
            path = layer.path or scope.partition("/")[2]
            output = outputs.get(id(layer), "")
            report(layer, path, output, flat[0], inputs)
        return result

    with observed(layers, report_output):
        results = inference_model.call(*tensors)
    for name, maker, tensor in zip(names, makers, results, strict=True):
        if maker not in observed_layers:
            report(None, name, name, tensor)


def _new_reference(
    layer: keras.Layer | None,
    facts: dict[str, Any],
    shape: tuple[int, ...],
) -> LayerReference:
    """Return a layer reference without values, with random positions."""
    is_first = getattr(layer, "data_format", None) == "channels_first"
    axis = 1 if is_first and len(shape) > 2 else len(shape) - 1
    rows = np.moveaxis(np.arange(math.prod(shape)).reshape(shape), axis, 0)
    rows = rows.reshape(len(rows), -1)
    size = len(rows), max(1, VALUES // len(rows))
    if size[1] < rows.shape[1]:
        columns = np.random.default_rng(0).integers(rows.shape[1], size=size)
        rows = np.take_along_axis(rows, columns, axis=1)
    return LayerReference(
        **facts,
        shape=shape,
        channel_axis=axis,
        positions=np.unique(rows),
        values=np.empty(0),
    )
