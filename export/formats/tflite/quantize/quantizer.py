"""TFLite in fewer bits, by TensorFlow's own converter.

- "float16": weights in half the bytes, computed in float32.
- "dynamic": weights in int8; what is multiplied by them is quantized anew at
  each call.
- "int8": weights and activations in int8, each weight channel with a scale of
  its own, the ranges of the activations measured beforehand on samples. An
  operator that TFLite has no integer kernel for computes in float.
"""

import contextlib
from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_inception_export.child_process import (
    ChildProcess,
    run_in_child,
)
from keras_inception_export.errors import ArtifactError
from keras_inception_export.formats.quantizer import (
    calibration_arrays,
    check_layers,
    check_scheme,
    rounded_kernel,
)
from keras_inception_export.formats.tflite import export as tflite
from keras_inception_export.formats.tflite.flatbuffer import Structure
from keras_inception_export.formats.tflite.naming import layers_with_kernel
from keras_inception_export.formats.tflite.quantize.calibrated_model import (
    CalibratedModel,
)

if TYPE_CHECKING:
    from keras_inception_export.model.inference_model import InferenceModel

_CALIBRATION = f"{__package__}.calibration_worker"
_INTEGERS = f"{__package__}.integer_worker"


class TFLiteQuantizer:
    """Writes quantized artifacts of one inference model; what costs time is done once.

    Args:
        inference_model: the model. It is not to change any more.
        folder: a folder for temporary files. The caller removes it.
        opset: not used; it is ONNX's.
        calibration: for each input the samples that the ranges of int8 are
            measured on, one row a sample. Defaults to `None`: there are none,
            and "int8" cannot be written.
        kernels: the integers that "int8" and "dynamic" round kernels to, by
            the path of the Keras variable and in its order of axes. Any other
            is rounded to the nearest. Defaults to none.
    """

    def __init__(
        self,
        inference_model: "InferenceModel",
        folder: Path,
        *,
        opset: int = 18,
        calibration: Mapping[str, np.ndarray] | None = None,
        kernels: Mapping[str, np.ndarray] = MappingProxyType({}),
    ):
        self._inference_model = inference_model
        self._folder = folder
        self._opset = opset
        self._calibration = calibration
        self._kernels = kernels

    @property
    def layers(self) -> tuple[str, ...]:
        """What int8 applies to, in the order of the network.

        A layer is named by the path of its kernel, less the last component.
        Layers in nested models that have the same path count as one. A
        transposed convolution is not among them: the converter always turns
        its kernel into int8.
        """
        return self._model.layers

    def write(
        self,
        path: Path,
        scheme: str,
        *,
        float_layers: Collection[str] = (),
        io: str | None = None,
    ) -> None:
        """Write a quantized artifact.

        Args:
            path: the file to write.
            scheme: "float16", "dynamic" or "int8".
            float_layers: of `layers`, those that "int8" leaves in float. What
                has no weights stays in float with them when everything before
                it, or everything after it, does.
            io: "int8" or "uint8", the type of the artifact's inputs and
                outputs with the scheme "int8". Defaults to `None`: float32.

        Raises:
            RequestError: an argument does not fit the others.
            ConversionError: the model cannot be written so.
        """
        check_scheme(scheme, float_layers, io)
        if scheme == "float16":
            tflite.write_reduced(self._inference_model, path, scheme)
            return
        if scheme == "dynamic":
            with _rounded(self._inference_model.model, self._kernels):
                tflite.write_reduced(self._inference_model, path, scheme)
            return
        check_layers(float_layers, self.layers)
        model = self._calibrated
        calibrated, raw = (
            self._folder / f"{name}.tflite" for name in ("calibrated", "raw")
        )
        self._converter.call(
            "quantize",
            model=calibrated,
            float_tensors=model.save_calibrated(
                calibrated, float_layers, io is not None
            ),
            io=io or "float32",
            output=raw,
        )
        structure = Structure(raw.read_bytes())
        model.restore_names(structure)
        structure.write(
            path,
            [(spec.name, spec.name) for spec in self._inference_model.inputs],
            [(spec.name, spec.name) for spec in self._inference_model.outputs],
        )

    def float_layers(self, path: Path) -> tuple[str, ...]:
        """Return the layers that LiteRT computes in float.

        They are those whose operator reads its kernel in float: int8 kernels of a
        file are never turned into float ones, by LiteRT or by XNNPACK, which only
        takes over what the file says. (A float16 kernel is read through a
        DEQUANTIZE, so it is computed in float.)

        Args:
            path: a `.tflite` file of this exporter.

        Raises:
            ArtifactError: the file is missing or damaged.
        """
        try:
            structure = Structure(path.read_bytes())
        except Exception as error:
            raise ArtifactError(
                f"{path} is not a TFLite file: {error}"
            ) from error
        return tuple(
            dict.fromkeys(
                layer
                for operator, kernel in structure.kernels()
                if structure.is_float(operator.kernel)
                for layer in layers_with_kernel(structure.name_of(kernel))
            )
        )

    @cached_property
    def _model(self) -> CalibratedModel:
        """The float artifact, of which everything else is made."""
        path = self._folder / "float.tflite"
        tflite.write(self._inference_model, path, opset=self._opset)
        return CalibratedModel(Structure(path.read_bytes()), self._kernels)

    @cached_property
    def _calibrated(self) -> CalibratedModel:
        """The model, with the ranges of its tensors."""
        samples = list(
            calibration_arrays(
                self._inference_model.inputs, self._calibration
            ).values()
        )
        watched = self._folder / "watched.tflite"
        paths = []
        for index, array in enumerate(samples):
            paths.append(self._folder / f"samples_{index}.npy")
            np.save(paths[-1], array)
        fixed = [s.shape[0] for s in self._inference_model.inputs if s.shape[0]]
        self._model.save_watched(watched)
        ranges = run_in_child(
            _CALIBRATION,
            "measure_ranges",
            model=watched,
            inputs=paths,
            rows=fixed[0] if fixed else 1,
        )
        self._model.calibrate(samples, np.array(ranges, np.float32))
        return self._model

    @cached_property
    def _converter(self) -> ChildProcess:
        return ChildProcess(_INTEGERS)


@contextlib.contextmanager
def _rounded(model: Any, kernels: Mapping[str, np.ndarray]) -> Iterator[None]:
    """Let a model hold rounded kernels for a while."""
    originals = {}
    try:
        for variable in model.variables:
            if variable.path in kernels:
                original = np.array(variable)
                originals[variable.path] = original
                integers = kernels[variable.path]
                variable.assign(rounded_kernel(original, integers, axis=-1))
        yield
    finally:
        for variable in model.variables:
            if variable.path in originals:
                variable.assign(originals[variable.path])
