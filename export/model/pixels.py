"""Let a model take pixels, and compute the preprocessing itself.

`with_pixels` puts a `Pixels` layer before each input that takes images, and
`fold_pixels` moves what it computes into the convolution that reads it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from keras_inception_export.data.batching import Arrays
from keras_inception_export.data.domain import Domain
from keras_inception_export.data.preprocessing import (
    LARGEST,
    Preprocessing,
    channel_axis,
)
from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.model.channel_search import SECONDS, search_inputs
from keras_inception_export.model.inference_model import InferenceModel
from keras_inception_layers import ConvBN
from keras_inception_layers.folding import adds_bias_to_channels

_SAME_VALUES = {"scale": 1.0, "mean": (0.0,), "std": (1.0,)}


@keras.saving.register_keras_serializable("keras_inception_export")
class Pixels(keras.layers.Layer):
    """The values of a preprocessing, from pixels of the right size.

    Args:
        factor: what each channel of the pixels is multiplied by.
        offset: what is added after that.
        reverse: whether the channels are reversed after that.
        channels_first: whether the channels are made the first axis.
        **kwargs: the arguments of every Keras layer.
    """

    def __init__(
        self,
        factor: Sequence[float],
        offset: Sequence[float],
        reverse: bool = False,
        channels_first: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.factor, self.offset = list(factor), list(offset)
        self.reverse, self.channels_first = reverse, channels_first

    @classmethod
    def of(cls, made: Preprocessing, **kwargs: Any) -> "Pixels":
        """Return the layer that computes the values of a preprocessing."""
        mean, std = (
            np.broadcast_to(values, made.channels).astype("float64")
            for values in (made.mean, made.std)
        )
        reverse = made.color == "bgr"
        order = slice(None, None, -1 if reverse else 1)
        return cls(
            (made.scale / std)[order].tolist(),
            (-mean / std)[order].tolist(),
            reverse,
            made.data_format == "channels_first",
            **kwargs,
        )

    def call(self, inputs: Any) -> Any:
        """Compute the values in the dtype of the layer."""
        x = keras.ops.cast(inputs, self.compute_dtype)
        if set(self.factor) != {1.0}:
            x = x * np.asarray(self.factor, self.compute_dtype)
        if set(self.offset) != {0.0}:
            x = x + np.asarray(self.offset, self.compute_dtype)
        if self.reverse:
            x = keras.ops.take(x, list(range(len(self.factor)))[::-1], axis=-1)
        if self.channels_first:
            x = keras.ops.transpose(x, (0, 3, 1, 2))
        return x

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the values."""
        batch, height, width, channels = input_shape
        if self.channels_first:
            return batch, channels, height, width
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        names = ("factor", "offset", "reverse", "channels_first")
        return super().get_config() | {x: getattr(self, x) for x in names}


def of_pixels(made: Preprocessing) -> Preprocessing:
    """Return how an image becomes pixels, for an input that takes these."""
    color = "grey" if made.color == "grey" else "rgb"
    return replace(
        made,
        **_SAME_VALUES,  # type: ignore[arg-type]
        color=color,
        data_format="channels_last",
        dtype="uint8",
    )


def pixel_spec(spec: TensorSpec) -> TensorSpec:
    """Return the input that takes the pixels of images; others as they are."""
    axis = channel_axis(spec)
    if axis is None:
        return spec
    batch, *sizes = spec.shape
    if axis == 1:
        sizes = [*sizes[1:], sizes[0]]
    return replace(spec, shape=(batch, *sizes), dtype="uint8")


def with_pixels(
    model: keras.Model, preprocessing: Mapping[str, Preprocessing]
) -> keras.Model:
    """Return a model with the same layers that takes uint8 pixels.

    Args:
        model: a Functional model; it is not copied.
        preprocessing: what to compute, by the name of the input. If it is
            empty, the model itself is returned.
    """
    if not preprocessing:
        return model
    named = InferenceModel.of(model)
    by_index = {
        index: preprocessing.get(spec.name)
        for spec, index in zip(named.inputs, named.input_order, strict=True)
    }

    def make(index: int, tensor: Any) -> tuple[Any, Any]:
        made = by_index[index]
        spec = TensorSpec(tensor.name, tuple(tensor.shape), tensor.dtype)
        if made is not None:
            spec = pixel_spec(spec)
        new = keras.Input(
            batch_shape=spec.shape, dtype=spec.dtype, name=spec.name
        )
        if made is None:
            return new, new
        return new, Pixels.of(made, name=f"{spec.name}_pixels")(new)

    return _on_inputs(model, make)


def with_real_pixels(model: InferenceModel) -> InferenceModel:
    """Return the model with float32 inputs for its pixels, to be quantized.

    Integers cannot be calibrated. The artifact takes uint8 all the same.
    """
    readers = [x for x in model.model.layers if isinstance(x, Pixels)]
    if not readers:
        return model
    names = {reader.input.name for reader in readers}

    def make(index: int, tensor: Any) -> tuple[Any, Any]:
        dtype = "float32" if tensor.name in names else tensor.dtype
        new = keras.Input(
            batch_shape=tensor.shape, dtype=dtype, name=tensor.name
        )
        return new, new

    changed = _on_inputs(model.model, make)
    inputs = tuple(
        replace(spec, dtype=changed.inputs[index].dtype)
        for spec, index in zip(model.inputs, model.input_order, strict=True)
    )
    pixels = tuple(
        new.name
        for old, new in zip(model.inputs, inputs, strict=True)
        if new.dtype != old.dtype
    )
    return replace(model, model=changed, inputs=inputs, pixels=pixels)


def search_pixels(
    model: InferenceModel,
    feeds: Sequence[Arrays],
    domains: Mapping[str, Domain],
    seconds: float = SECONDS,
) -> list[Arrays]:
    """Return what `search_inputs` finds, in whole numbers where it is pixels.

    On whole numbers themselves, it cannot ascend.
    """
    real = with_real_pixels(model)

    def cast(feed: Arrays, dtype: str) -> dict[str, np.ndarray]:
        pixels = {x: np.rint(feed[x]).clip(0, LARGEST) for x in real.pixels}
        return {**feed, **{x: pixels[x].astype(dtype) for x in pixels}}

    real_domains = {x: Domain(high=np.asarray(LARGEST)) for x in real.pixels}
    found = search_inputs(
        real,
        [cast(feed, "float32") for feed in feeds],
        {**domains, **real_domains},
        seconds,
    )
    return [cast(feed, "uint8") for feed in found]


def _on_inputs(model: keras.Model, make: Callable) -> keras.Model:
    """Return a model of the same layers on other inputs.

    `make` gets the index and the tensor of an input, and returns the new input
    and what the layers read instead.
    """
    pairs = [make(*pair) for pair in enumerate(model.inputs)]
    inputs, read = zip(*pairs, strict=True)
    # `call` would add operations that make tensors of the inputs.
    outputs = model._run_through_graph(
        list(read), operation_fn=lambda operation: operation
    )
    inputs = keras.tree.pack_sequence_as(model.input, list(inputs))
    return keras.Model(inputs, outputs, name=model.name)


def fold_pixels(model: keras.Model) -> None:
    """Move what `Pixels` layers compute into the convolutions that read them.

    The factors and the order of the channels go into the kernel. So do the
    offsets into the bias, where no zeros are padded.
    """
    for layer in model.layers:
        if isinstance(layer, Pixels):
            readers = [
                node.operation
                for nodes in model._nodes_by_depth.values()
                for node in nodes
                if any(x is layer.output for x in node.input_tensors)
            ]
            is_output = any(x is layer.output for x in model.outputs)
            if len(readers) == 1 and not is_output:
                _fold(layer, readers[0])


def _fold(pixels: Pixels, reader: keras.Layer) -> None:
    conv = reader.conv if isinstance(reader, ConvBN) else reader
    if (
        type(conv) is not keras.layers.Conv2D
        or conv.groups != 1
        or len(reader._inbound_nodes) != 1
        or pixels.channels_first != (conv.data_format == "channels_first")
    ):
        return
    padded = conv.padding != "valid" or getattr(reader, "pad", None)
    factor, offset = np.array(pixels.factor), np.array(pixels.offset)
    kernel = keras.ops.convert_to_numpy(conv.kernel).astype("float64")
    if pixels.reverse:
        kernel = kernel[:, :, ::-1]
    shifts = adds_bias_to_channels(conv.data_format, reader.output.shape)
    if conv.use_bias and shifts and not padded:
        bias = keras.ops.convert_to_numpy(conv.bias).astype("float64")
        conv.bias.assign(bias + np.einsum("hwio,i->o", kernel, offset))
        offset = np.zeros_like(offset)
    conv.kernel.assign(kernel * factor[:, None])
    pixels.factor = [1.0] * len(factor)
    pixels.offset = (offset / factor).tolist()
    pixels.reverse = False
