"""Layers whose Python code depends on a size: of an image, or of a sequence.

A conversion traces a layer once, for every size. Where a size is unknown, the
layers in `EXACT` compute what their own code computes for each size, and those
in `REFUSED` cannot be traced.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

import keras
from keras import layers, ops

from keras_inception_export.errors import ConversionError, reason_of
from keras_inception_export.model.call_hooks import observed
from keras_inception_export.model.precision import describe

UNKNOWN = (
    "the size of its input is unknown when it is traced; give the model's "
    "input a fixed size"
)


def check_sizes(model: keras.Model) -> None:
    """Raise ConversionError for a layer that cannot be traced.

    With small inputs, some of them end the process.
    """
    for part in model._flatten_layers():
        graph = vars(part).get("_functional") or part
        nodes = getattr(graph, "_nodes_by_depth", {}).values()
        for node in chain.from_iterable(nodes):
            layer, tensors = node.operation, node.input_tensors
            if isinstance(layer, REFUSED) and None in tensors[0].shape[1:]:
                raise ConversionError(f"the layer {describe(layer)}: {UNKNOWN}")


@contextmanager
def any_size(model: keras.Model) -> Iterator[None]:
    """Let the layers of a model be traced with unknown sizes, in a block.

    Calls with known sizes are not changed.

    Raises:
        ConversionError: in the block, if it fails; the layer is named.
    """
    affected = [
        layer
        for layer in model._flatten_layers(include_self=False)
        if isinstance(layer, (*EXACT, *REFUSED))
        and getattr(layer, "interpolation", None) != "nearest"
    ]
    try:
        with observed(affected, _traceable):
            yield
    except Exception as error:
        raise ConversionError(
            f"TensorFlow cannot trace the model: {reason_of(error)}"
        ) from error


def _traceable(
    layer: Any, call: Callable, inputs: Any, *args: Any, **kwargs: Any
) -> Any:
    """Call a layer that need not know the sizes of its input."""
    if None not in _sizes(layer, inputs):
        return call(inputs, *args, **kwargs)
    for kind, exact in EXACT.items():
        if isinstance(layer, kind) and not isinstance(inputs, dict):
            return exact(layer, inputs, **kwargs)
    raise ValueError(UNKNOWN)


def _sizes(layer: Any, inputs: Any) -> Sequence[int | None]:
    """Return the lengths of an input's axes on which the code depends."""
    shape = (inputs["images"] if isinstance(inputs, dict) else inputs).shape
    if isinstance(layer, layers.TimeDistributed):
        return shape[1:2]
    single_image = len(shape) == 3 and not isinstance(layer, REFUSED)
    return shape if single_image else shape[1:]


def _center_crop(layer: layers.CenterCrop, images: Any, **_: Any) -> Any:
    """Crop the centre; where the image is smaller, the largest part that fits.

    `CenterCrop` resizes that part. Resizing to the same size changes nothing.
    """
    rows, columns = _spatial_axes(layer, images)
    shape = ops.shape(images)
    height, width = shape[rows], shape[columns]
    fits = ops.logical_and(height >= layer.height, width >= layer.width)

    def window(axis, wanted, largest):
        largest = ops.clip(ops.convert_to_tensor(largest), 1, shape[axis])
        size = ops.where(fits, wanted, largest)
        start = (shape[axis] - size) // 2
        return slice(start, start + size)

    index = [slice(None)] * len(images.shape)
    index[rows] = window(
        rows, layer.height, width * layer.height // layer.width
    )
    index[columns] = window(
        columns, layer.width, height * layer.width // layer.height
    )
    resized = ops.image.resize(
        ops.cast(images, layer.compute_dtype)[tuple(index)],
        (layer.height, layer.width),
        data_format=layer.data_format,
    )
    return ops.cast(resized, layer.compute_dtype)


def _up_sampling(layer: layers.UpSampling2D, images: Any, **_: Any) -> Any:
    """Resize to a multiple of the size, which may be known or a tensor."""
    import tensorflow as tf

    first = layer.data_format == "channels_first"
    if first:
        images = ops.moveaxis(images, 1, -1)
    size = tf.shape(images)[1:3] * tf.constant(layer.size)
    resized = tf.image.resize(images, size, layer.interpolation)
    sizes = zip(images.shape[1:3], layer.size, strict=True)
    known = [length and length * factor for length, factor in sizes]
    resized.set_shape((images.shape[0], *known, images.shape[3]))
    return ops.moveaxis(resized, -1, 1) if first else resized


def _unchanged(layer: layers.Layer, images: Any, **_: Any) -> Any:
    """Return the images, which `RandomCrop` crops in training only."""
    return images


def _time_distributed(
    layer: layers.TimeDistributed, inputs: Any, *, mask: Any = None, **_: Any
) -> Any:
    """Compute all steps of all samples as one batch.

    Keras maps the layer over as many steps as there are samples.
    """
    steps = ops.shape(inputs)[:2]

    def merged(array):
        return ops.reshape(array, (-1, *ops.shape(array)[2:]))

    options: dict[str, Any] = {}
    if layer.layer._call_has_mask_arg and mask is not None:
        options["mask"] = merged(mask)
    if layer.layer._call_has_training_arg:
        options["training"] = False
    outputs = layer.layer.call(merged(inputs), **options)
    return ops.reshape(outputs, (*steps, *ops.shape(outputs)[1:]))


def _spatial_axes(layer: Any, images: Any) -> tuple[int, int]:
    """Return the axes of height and width."""
    last = len(images.shape) - 1
    if layer.data_format == "channels_first":
        return last - 1, last
    return last - 2, last - 1


EXACT: dict[type[layers.Layer], Callable[..., Any]] = {
    layers.CenterCrop: _center_crop,
    layers.RandomCrop: _unchanged,
    layers.TimeDistributed: _time_distributed,
    layers.UpSampling2D: _up_sampling,
}
"""How to compute a layer for inputs of any size."""

REFUSED = tuple(
    getattr(layers, f"Adaptive{kind}Pooling{rank}D")
    for kind in ("Average", "Max")
    for rank in (1, 2, 3)
    if hasattr(layers, f"Adaptive{kind}Pooling{rank}D")
)
"""Layers whose windows depend on the size."""
