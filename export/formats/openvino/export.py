"""OpenVINO IR, converted by OpenVINO from the ONNX graph."""

from pathlib import Path
from tempfile import TemporaryDirectory

from keras_inception_export.errors import ConversionError
from keras_inception_export.formats.format import importing
from keras_inception_export.formats.onnx import export as onnx_export
from keras_inception_export.model.inference_model import InferenceModel


def write(inference_model: InferenceModel, path: Path, *, opset: int) -> None:
    """Write the `.xml` file, and the float32 weights to its `.bin` file.

    `opset` is the operator set of the ONNX graph that OpenVINO reads.
    """
    with importing("openvino", path):
        import openvino
    with TemporaryDirectory(prefix=".openvino-", dir=path.parent) as workdir:
        source = Path(workdir, "model.onnx")
        onnx_export.write(inference_model, source, opset=opset)
        try:
            model = openvino.Core().read_model(source)
        except RuntimeError as error:
            summary = str(error).strip().rpartition("\n")[2]
            raise ConversionError(
                f"OpenVINO cannot convert the ONNX graph: {summary}; leave "
                "the format openvino out"
            ) from error
        # By default the weights would be rounded to float16.
        openvino.save_model(model, path, compress_to_fp16=False)
