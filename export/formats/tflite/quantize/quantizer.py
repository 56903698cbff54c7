"""Write quantized TFLite artifacts with TensorFlow's own converter.

- "float16": weights are float16; computations are float32.
- "dynamic": weights are int8; the values that are multiplied by them are
  quantized in each call.
- "int8": weights and activations are int8. Each channel of a weight has its
  own scale, and the ranges of activations are measured on samples before. An
  operator for which TFLite has no integer kernel computes in float.
"""

from collections.abc import Collection, Mapping
from functools import cached_property
from pathlib import Path
from types import MappingProxyType

import numpy as np

from keras_inception_export.child_process import ChildProcess, run_in_child
from keras_inception_export.errors import ArtifactError
from keras_inception_export.formats.quantizer import (
    calibration_arrays,
    check_layers,
)
from keras_inception_export.formats.schemes import check_scheme
from keras_inception_export.formats.tflite import export
from keras_inception_export.formats.tflite.flatbuffer import Structure
from keras_inception_export.formats.tflite.naming import layers_with_kernel
from keras_inception_export.formats.tflite.quantize.calibrated_model import (
    CalibratedModel,
)
from keras_inception_export.model.inference_model import InferenceModel

_CALIBRATION = f"{__package__}.calibration_worker"


class TFLiteQuantizer:
    """Writes quantized artifacts of one inference model.

    The float conversion and the calibration for int8 are done once.

    Args:
        inference_model: the model. It must not change any more.
        folder: a folder for temporary files. The caller removes it.
        opset: not used; it is an option of ONNX.
        calibration: the samples on which the ranges for int8 are measured,
            one array per input name; `None`: "int8" cannot be written.
        kernels: see `CalibratedModel`.
    """

    def __init__(
        self,
        inference_model: InferenceModel,
        folder: Path,
        *,
        opset: int = 18,
        calibration: Mapping[str, np.ndarray] | None = None,
        kernels: Mapping[str, np.ndarray] = MappingProxyType({}),
    ):
        self._source = inference_model
        self._folder = folder
        self._opset = opset
        self._calibration = calibration
        self._kernels = kernels

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that int8 applies to, in execution order.

        The name of a layer is the path of its kernel without the last
        component. Layers of nested models that have the same path count as
        one. Transposed convolutions are missing: the converter always turns
        their kernels into int8.
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
            float_layers: the layers that "int8" keeps in float, out of
                `layers`. An operator without weights stays in float if all
                the layers before it, or all those after it, do.
            io: "int8" or "uint8", the type of the artifact's inputs and
                outputs with the scheme "int8"; `None`: float32.
        """
        check_scheme(scheme, float_layers, io)
        if scheme != "int8":
            export.write(self._source, path, opset=self._opset, scheme=scheme)
            return
        check_layers(float_layers, self.layers)
        model = self._calibrated
        calibrated = self._folder / "calibrated.tflite"
        raw = self._folder / "raw.tflite"
        input_io = "uint8" if self._source.pixels else io
        in_float = model.save_calibrated(
            calibrated,
            float_layers,
            bool(input_io),
            bool(io),
        )
        self._converter.call(
            "quantize",
            model=calibrated,
            float_tensors=in_float,
            input_dtype=input_io or "float32",
            output_dtype=io or "float32",
            output=raw,
        )
        structure = Structure(raw.read_bytes())
        model.restore_names(structure)
        structure.write(
            path,
            [(spec.name, spec.name) for spec in self._source.inputs],
            [(spec.name, spec.name) for spec in self._source.outputs],
        )

    def float_layers(self, path: Path) -> tuple[str, ...]:
        """Return the layers that LiteRT computes in float.

        These are the layers whose operator reads its kernel in float: neither
        LiteRT nor XNNPACK turns the int8 kernels of a file into float ones. (A
        float16 kernel is read through a DEQUANTIZE operator, so its layer
        computes in float.)
        """
        try:
            structure = Structure(path.read_bytes())
        except Exception as error:
            raise ArtifactError(
                f"{path} is not a TFLite file: {error}"
            ) from error
        found = (
            layer
            for operator, kernel in structure.kernels()
            if structure.is_float(operator.kernel)
            for layer in layers_with_kernel(structure.name_of(kernel))
        )
        return tuple(dict.fromkeys(found))

    @cached_property
    def _model(self) -> CalibratedModel:
        """The float artifact that int8 is made from."""
        path = self._folder / "float.tflite"
        export.write(self._source, path, opset=self._opset)
        return CalibratedModel(Structure(path.read_bytes()), self._kernels)

    @cached_property
    def _calibrated(self) -> CalibratedModel:
        """The same model, with the ranges of its tensors."""
        specs = self._source.inputs
        arrays = calibration_arrays(specs, self._calibration).values()
        measured = self._folder / "measured.tflite"
        paths = [self._folder / f"samples_{i}.npy" for i in range(len(specs))]
        for path, array in zip(paths, arrays, strict=True):
            np.save(path, array)
        fixed = [spec.shape[0] for spec in specs if spec.shape[0]]
        self._model.save_for_calibration(measured)
        ranges = run_in_child(
            _CALIBRATION,
            "measure_ranges",
            model=measured,
            inputs=paths,
            rows=fixed[0] if fixed else 1,
        )
        pixels = [
            i for i, x in enumerate(specs) if x.name in self._source.pixels
        ]
        self._model.calibrate(arrays, np.array(ranges, np.float32), pixels)
        return self._model

    @cached_property
    def _converter(self) -> ChildProcess:
        return ChildProcess(export.CONVERTER)
