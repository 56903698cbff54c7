"""Write quantized TFLite artifacts with TensorFlow's own converter.

- "float16": weights are float16; computations are float32.
- "dynamic": weights are int8; the values that are multiplied by them are
  quantized in each call.
- "int8": weights and activations are int8. Each channel of a weight has its
  own scale, and the ranges of activations are measured on samples before. An
  operator for which TFLite has no integer kernel computes in float.
"""

from collections.abc import Collection
from functools import cached_property
from pathlib import Path

import numpy as np

from keras_inception_export.child_process import ChildProcess, run_in_child
from keras_inception_export.errors import ArtifactError
from keras_inception_export.formats.quantizer import Quantizer
from keras_inception_export.formats.tflite import export
from keras_inception_export.formats.tflite.flatbuffer import Structure
from keras_inception_export.formats.tflite.naming import layers_with_kernel
from keras_inception_export.formats.tflite.quantize.calibrated_model import (
    CalibratedModel,
)

_CALIBRATION = f"{__package__}.calibration_worker"


class TFLiteQuantizer(Quantizer):
    """Writes TFLite artifacts; see `Quantizer`.

    The float conversion and the calibration for int8 are done once.
    """

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that int8 applies to, in execution order.

        The name of a layer is the path of its kernel without the last
        component. Layers of nested models that have the same path count as
        one. Transposed convolutions are missing: the converter always turns
        their kernels into int8.
        """
        return self._model.layers

    def _write_weights(self, path: Path, scheme: str) -> None:
        export.write(self._source, path, opset=self._opset, scheme=scheme)

    def _write_int8(
        self, path: Path, float_layers: Collection[str], io: str | None
    ) -> None:
        model = self._calibrated
        calibrated = self._folder / "calibrated.tflite"
        raw = self._folder / "raw.tflite"
        input_io = "uint8" if self._source.pixels else io
        in_float = model.save_calibrated(
            calibrated, float_layers, bool(input_io), bool(io)
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
        arrays = self._calibration_arrays().values()
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
