"""The inference model, from which every format is written."""

import itertools
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from typing import Any

import keras

from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.errors import RequestError, reason_of
from keras_inception_export.logs import logger
from keras_inception_export.model.io_names import specs_of
from keras_inception_export.model.kernels import portable_kernels
from keras_inception_export.model.precision import computing_in, describe
from keras_inception_layers.folding import folded
from keras_inception_layers.rebuilding import (
    FLOATS,
    copy_state,
    rebuild,
    set_dtype,
    skip_initializers,
)

_EDITS = set_dtype("float32"), skip_initializers


@dataclass(frozen=True, eq=False)
class InferenceModel:
    """A model for inference, with the final names of inputs and outputs.

    Its weights must not change after the first conversion.

    Args:
        model: a Functional Keras model; its `input` and `output` may be any
            structure.
        inputs: one spec per input, in the declared order.
        outputs: one spec per output, in the declared order.
        input_order: for each declared input, its index among the flattened
            `model.input`.
        output_order: the same for `model.output`.
        dtype: "float32" or "float64", in which `call` computes whatever the
            dtype policies of the layers are. Defaults to "float32".
        pixels: the float inputs of a model to quantize whose values are pixels
            of 0 to 255; int8 artifacts take them as uint8. Defaults to none.

    Attributes:
        float32_layers: the layers that `call` computed in float32 though
            `dtype` is float64, as keys; see `precision.computing_in`.
    """

    model: keras.Model
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    input_order: tuple[int, ...]
    output_order: tuple[int, ...]
    dtype: str = "float32"
    pixels: tuple[str, ...] = ()
    float32_layers: dict[str, None] = field(
        default_factory=dict, init=False, repr=False
    )
    _conversions: dict[Hashable, Any] = field(
        default_factory=dict, init=False, repr=False
    )

    @classmethod
    def of(cls, model: keras.Model) -> "InferenceModel":
        """Return a Functional model with its final names and order.

        Raises:
            RequestError: if a name cannot be used in every format.
        """
        return cls(model, *specs_of(model))

    def call(self, *tensors):
        """Map one tensor per input to one per output, in declared order.

        If a layer fails, the exception's `layer` names it.
        """
        flat = [None] * len(tensors)
        for index, tensor in zip(self.input_order, tensors, strict=True):
            flat[index] = tensor
        packed = keras.tree.pack_sequence_as(self.model.input, flat)
        computing = computing_in(self.model, self.dtype, self.float32_layers)
        with portable_kernels(), computing:
            outputs = keras.tree.flatten(self.model(packed, training=False))
        return tuple(
            self._in_dtype(outputs[index], spec.name)
            for index, spec in zip(self.output_order, self.outputs, strict=True)
        )

    def _in_dtype(self, tensor, name):
        """Return a tensor in `dtype` that a layer has left in another float."""
        dtype = keras.backend.standardize_dtype(tensor.dtype)
        if kind := _unusual_kind(tensor, dtype):
            raise RequestError(
                f'the output "{name}" is a {kind} tensor; expected a dense one '
                "of real numbers; convert it in the model"
            )
        if dtype in FLOATS:
            return keras.ops.cast(tensor, self.dtype)
        return tensor

    def converted(self, key: Hashable, convert: Callable[[], Any]) -> Any:
        """Return the result of `convert`, which is called once per key.

        A key is a format and the options of its conversion.
        """
        if key not in self._conversions:
            self._conversions[key] = convert()
        return self._conversions[key]

    def copy(self) -> "InferenceModel":
        """Return a copy in float32 that has its own weights.

        Raises:
            RequestError: if a layer cannot be made from its config.
        """
        try:
            copy = rebuild(self.model, *_EDITS)
            copy_state(self.model, copy)
        except Exception as error:
            raise RequestError(_not_rebuilt(self.model, error)) from error
        return replace(self, model=copy)


def to_inference_model(
    model: keras.Model, batch_size: int | None = None
) -> InferenceModel:
    """Return a float32 model with batch norm folded and final names.

    LoRA updates are merged into the kernels.

    With a batch size, inputs get that many samples per call, else any number.
    A model that cannot be made from its config is not folded: the inference
    model is then the user's model itself.

    Raises:
        RequestError: if the model has another fixed batch size or a name that
            not every format allows.
    """
    named = InferenceModel.of(model)
    fixed = {spec.shape[0] for spec in named.inputs} - {None, batch_size}
    if batch_size is not None and fixed:
        raise RequestError(
            f"--batch-size {batch_size}: the model has the fixed batch size "
            f"{fixed.pop()}; leave the option out, or export another model"
        )
    try:
        copy = folded(model, *_EDITS)
    except Exception as error:  # whatever the code of a custom layer raises
        logger.info("Note  %s", _not_rebuilt(model, error))
        copy = model
    else:
        _merge_lora(copy)
    result = replace(named, model=copy)
    tensors = [copy.inputs[index] for index in named.input_order]
    outputs = [copy.outputs[index] for index in named.output_order]
    if batch_size is not None:
        tensors = [
            keras.Input(batch_shape=(batch_size, *x.shape[1:]), dtype=x.dtype)
            for x in tensors
        ]
        outputs = result.call(*tensors)
    return replace(
        result,
        inputs=_specs_like(named.inputs, tensors),
        outputs=_specs_like(named.outputs, outputs),
    )


def _merge_lora(model: keras.Model) -> None:
    """Add the LoRA updates to the kernels, in float64.

    Only a kernel that is a variable can be scaled and rounded. A layer that
    Keras quantized adds the update to its outputs instead, and keeps it.
    """
    for layer, name in itertools.product(
        model._flatten_layers(), ("kernel", "embeddings")
    ):
        parts = [f"_{name}", f"lora_{name}_a", f"lora_{name}_b"]
        values = [getattr(layer, part, None) for part in parts]
        if any(x is None for x in values) or layer.quantization_mode:
            continue  # a layer of the user's may have a LoRA of its own
        kernel, update, factor = (
            keras.ops.convert_to_numpy(value).astype("float64")
            for value in values
        )
        update = layer.lora_alpha / layer.lora_rank * (update @ factor)
        getattr(layer, f"_{name}").assign(kernel + update)
        delattr(layer, f"lora_{name}_a")
        delattr(layer, f"lora_{name}_b")
        layer.lora_enabled, layer.lora_rank = False, None


def _unusual_kind(tensor: Any, dtype: str) -> str:
    """Return what no artifact returns, whatever Keras declares, or ""."""
    if hasattr(tensor, "row_splits"):
        return "ragged"
    if not callable(getattr(tensor, "indices", len)):  # of torch, a method
        return "sparse"
    return "complex" if dtype.startswith("complex") else ""


def _not_rebuilt(model: keras.Model, error: BaseException) -> str:
    """Return the first layer that cannot be made from its config, and why."""
    for layer in reversed([*model._flatten_layers()]):
        try:
            rebuild(layer, *_EDITS)
        except Exception as own:
            error, model = own, layer
            break
    while error.__context__:  # Keras puts a long text around the cause
        error = error.__context__
    return (
        f"the layer {describe(model)} cannot be made from its config, which "
        "folding batch normalization and int8 need: "
        f"{reason_of(error).rstrip('.')}; see `get_config` in Keras's guide"
    )


def _specs_like(specs, tensors):
    """Return the specs with the shapes of the tensors, floats as float32."""
    return tuple(
        TensorSpec(
            spec.name,
            tuple(tensor.shape),
            "float32" if tensor.dtype in FLOATS else tensor.dtype,
        )
        for spec, tensor in zip(specs, tensors, strict=True)
    )
