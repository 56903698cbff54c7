"""The export in a child process, as under backends other than TensorFlow."""

import keras
import pytest
from PIL import Image

from keras_inception_export import (
    ArtifactError,
    RequestError,
    verify,
)
from keras_inception_export.bundle.bundle import read_report
from keras_inception_export.child_process import ChildProcess
from keras_inception_export.data.metadata import Metadata
from keras_inception_export.data.preprocessing import PRESETS
from keras_inception_export.logs import progress_to
from keras_inception_export.options import ExportOptions
from keras_inception_export.pipeline import subprocess_export
from keras_inception_export.pipeline.subprocess_export import (
    export_in_tensorflow,
)
from tests.helpers.format_cases import constant_model, small_model
from tests.helpers.numeric import random_images


@pytest.fixture(scope="module", autouse=True)
def _one_child():
    """A process that imports TensorFlow once, for all tests."""
    target = subprocess_export.__name__
    with ChildProcess(target, subprocess_export.ENVIRONMENT) as child:

        def call(target, function, environment, **arguments):
            return child.call(function, **arguments)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(subprocess_export, "run_in_child", call)
            yield


def test_export(tmp_path):
    keras.utils.set_random_seed(0)
    images = 255 * random_images((30, 12, 12, 3))
    options = ExportOptions(
        output_dir=tmp_path / "out",
        formats="onnx",
        samples=[(image, 0) for image in images.clip(0).astype("uint8")],
        preprocess={"image": "tf"},
        labels=["a", "b", "c", "d"],
        pixels=True,
        opset=17,
        quantize="float16",
        min_agreement=0,
        max_accuracy_drop=1,
    )
    steps = []
    with progress_to(steps.append):
        report = export_in_tensorflow(small_model, options)
    assert steps[0] == "Model  small, 502 parameters"
    assert "Verify  onnx float16" in steps
    assert report["model"]["keras_path"] is None
    assert read_report(tmp_path / "out") == report
    assert [a["quantization"] for a in report["artifacts"]] == [None, "float16"]
    assert report["evaluation"]["labelled"]
    metadata = Metadata.from_json(report["metadata"])
    assert metadata.inputs[0].built_in.mean == PRESETS["tf"].mean
    assert metadata.outputs[0].labels == options.labels
    assert report["evaluation"]["min_agreement"] == 0
    assert all(result.passed for result in verify(tmp_path / "out"))
    with pytest.raises(RequestError, match="exists already"):
        export_in_tensorflow(small_model(), options)


def test_errors_keep_their_class(tmp_path):
    options = ExportOptions(output_dir=tmp_path / "out", formats="tflite")
    with pytest.raises(ArtifactError, match="hardly depends"):
        export_in_tensorflow(constant_model(), options)
    assert not list(tmp_path.iterdir())


def test_images_of_pillow_are_not_sent(tmp_path):
    image = Image.new("RGB", (12, 12))
    options = ExportOptions(output_dir=tmp_path / "out", samples=iter([image]))
    with pytest.raises(RequestError, match="give their paths"):
        export_in_tensorflow(small_model(), options)
