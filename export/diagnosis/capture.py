"""What each layer of a model gives, seen while the model runs."""

import itertools
import math
import weakref
from collections.abc import Callable
from dataclasses import replace

import keras
import numpy as np
import tensorflow as tf

from keras_inception_export.diagnosis.layer_reference import (
    VALUES,
    LayerReference,
    LayerReferences,
)
from keras_inception_export.model.call_hooks import observed
from keras_inception_export.model.reference import compute, compute_exactly
from keras_inception_layers import ConvBN
from keras_inception_layers.rebuilding import (
    copy_state,
    rebuild,
    set_dtype,
    skip_initializers,
)


def capture_layer_references(inference_model, feeds) -> LayerReferences:
    """Return a few float64 values of every layer's output.

    Those of the inference model, not of the original model: what goes on between the
    layers may have been changed on purpose.

    Args:
        inference_model: the inference model that the artifacts are written from.
        feeds: batches, each an array an input name.
    """
    marks: list[LayerReference] = []
    single = _taken(inference_model, feeds, marks, compute)
    copy = rebuild(
        inference_model.model, set_dtype("float64"), skip_initializers
    )
    copy_state(inference_model.model, copy)
    exact = _taken(
        replace(inference_model, model=copy), feeds, marks, compute_exactly
    )
    layers = []
    for mark, (values, largest), (rounded, _) in zip(
        marks, exact, single, strict=True
    ):
        mark = replace(mark, values=values, scale=largest or 1.0)
        layers.append(replace(mark, keras_error=mark.error(rounded)))
    return LayerReferences(tuple(layers))


def _taken(inference_model, feeds, marks, run):
    """Return for each layer reference its values, and the layer's largest.

    Args:
        inference_model: the model to watch.
        feeds: the batches.
        marks: the layer references; filled on the first run, in the order in which
            the layers end.
        run: `compute` or `compute_exactly`.
    """
    counts = [len(next(iter(feed.values()))) for feed in feeds]
    taken: list = []

    def look(layer, facts, tensor):
        if len(taken) == len(marks):
            shape = (sum(counts), *(tuple(tensor.shape[1:]) or (1,)))
            marks.append(_layer_reference(marks, layer, facts, shape))
        mark = marks[len(taken)]
        axes = [i for i in range(len(mark.shape)) if i != mark.channel_axis]
        tensor = keras.ops.reshape(tensor, (-1, *mark.shape[1:]))
        tensor = keras.ops.cast(tensor, "float64")
        taken.append(
            (
                keras.ops.take(tensor, mark.within(start, count)),
                keras.ops.sum(tensor, axes),
                keras.ops.max(keras.ops.abs(tensor)),
            )
        )

    def call(*tensors):
        taken.clear()
        _watched(inference_model, look)(*tensors)
        return list(taken)

    parts, start = [], 0
    for feed, count in zip(feeds, counts, strict=True):
        parts.append(run(call, inference_model.inputs, feed))
        start += count
    found = []
    for mark, of_layer in zip(marks, zip(*parts, strict=True), strict=True):
        singles, sums, largest = zip(*of_layer, strict=True)
        found.append((mark.joined(singles, sums), float(max(largest))))
    return found


def _watched(inference_model, see: Callable) -> Callable:
    """Return `inference_model.call`, which then shows the output of each layer.

    `see(layer, facts, tensor)` is called in the order in which the layers
    end, with the `layer`, `output` and `source` of a layer reference as facts; for
    an output of the model that no watched layer computes, with no layer.
    """
    layers = list(_parts(inference_model.model))
    makers = [
        id(inference_model.model.outputs[place]._keras_history.operation)
        for place in inference_model.output_order
    ]
    names = [spec.name for spec in inference_model.outputs]
    outputs = dict(zip(makers, names, strict=True))
    batch: list = []
    numbers = itertools.count()
    shown: dict = {}  # by the id of a tensor: the tensor and its number
    seen = set()

    def number_of(tensor):
        reference, number = shown.get(id(tensor), (None, None))
        return number if reference and reference() is tensor else None

    def show(layer, path, output, tensor, inputs=()):
        shape = tuple(tensor.shape)
        floating = keras.backend.is_float_dtype(tensor.dtype)
        if floating and shape[:1] == tuple(batch) and 0 not in shape:
            sources = map(number_of, inputs)
            source = next((x for x in sources if x is not None), None)
            facts = {"layer": path, "output": output, "source": source}
            shown[id(tensor)] = weakref.ref(tensor), next(numbers)
            seen.add(id(layer))
            see(layer, facts, tensor)

    def showing(layer, call):
        def showing_call(*args, **kwargs):
            scope = tf.get_current_name_scope()
            result = call(*args, **kwargs)
            flat = keras.tree.flatten(result)
            inputs = keras.tree.flatten((args, kwargs))
            # A layer that only hands on a tensor, its input or what the last
            # layer within it gives, has nothing of its own to show.
            if (
                len(flat) == 1
                and number_of(flat[0]) is None
                and not any(flat[0] is tensor for tensor in inputs)
            ):
                path = layer.path or scope.partition("/")[2]
                output = outputs.get(id(layer), "")
                show(layer, path, output, flat[0], inputs)
            return result

        return showing_call

    def call(*tensors):
        batch[:] = tensors[0].shape[:1]
        with observed(layers, showing):
            results = inference_model.call(*tensors)
        for name, maker, tensor in zip(names, makers, results, strict=True):
            if maker not in seen:
                show(None, name, name, tensor)
        return results

    return call


def _parts(layer):
    """Yield the layers within a layer whose outputs an artifact may hold.

    Inside a `ConvBN`, and inside a layer of Keras that is no model, runtimes
    merge the steps into one.
    """
    for child in layer._flatten_layers(recursive=False, include_self=False):
        yield child
        builtin = type(child).__module__.startswith("keras.")
        if isinstance(child, keras.Model) or not (
            builtin or isinstance(child, ConvBN)
        ):
            yield from _parts(child)


def _layer_reference(marks, layer, facts, shape):
    """Make a layer reference without values, its positions drawn for each channel."""
    path = facts["layer"]
    calls = sum(mark.layer.partition("#")[0] == path for mark in marks)
    if calls:
        facts["layer"] = f"{path}#{calls + 1}"
    first = getattr(layer, "data_format", None) == "channels_first"
    axis = 1 if first and len(shape) > 2 else len(shape) - 1
    rows = np.moveaxis(np.arange(math.prod(shape)).reshape(shape), axis, 0)
    rows = rows.reshape(len(rows), -1)
    wanted = max(1, VALUES // len(rows))
    if wanted < rows.shape[1]:
        generator = np.random.default_rng(0)
        columns = generator.integers(rows.shape[1], size=(len(rows), wanted))
        rows = np.take_along_axis(rows, columns, axis=1)
    return LayerReference(
        **facts,
        weighted=bool(layer and layer.weights),
        shape=shape,
        channel_axis=axis,
        positions=np.unique(rows),
        values=np.empty(0),
    )
