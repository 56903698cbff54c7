"""OpenVINO IR: written from the inference model, run by OpenVINO."""

from xml.etree import ElementTree

import keras
import pytest

from keras_inception_export import export_model, load_artifact, verify
from keras_inception_export.errors import (
    ArtifactError,
    ConversionError,
)
from keras_inception_export.formats.openvino.export import write
from keras_inception_export.formats.openvino.metadata import attach, attached
from keras_inception_export.formats.openvino.runtime import open_runner
from keras_inception_export.formats.registry import DEFAULT_FORMATS, FORMATS
from keras_inception_export.model.inference_model import to_inference_model
from tests.helpers.format_cases import (
    CASES,
    check_artifact,
    feeds_of,
    inference_model_of,
    keras_outputs,
    largest_error,
    small_model,
)

# Relative to an output's largest value. The largest error measured was 7e-7.
TOLERANCE = 5e-6
EXPRESSED = {name: CASES[name] for name in CASES if name != "recurrent"}


@pytest.mark.parametrize("case", EXPRESSED.values(), ids=EXPRESSED)
def test_computes_what_keras_computes(case, tmp_path):
    inference_model = inference_model_of(case)
    path = tmp_path / "model.xml"
    write(inference_model, path, opset=18)
    check_artifact(open_runner(path), inference_model, TOLERANCE)


def test_outputs_that_openvino_joins_with_others_keep_their_names(tmp_path):
    """It removes the addition of zeros, and the linear activation."""
    inputs = keras.Input((8,), name="x")
    dense = keras.layers.Dense(3, name="a")
    first = dense(keras.layers.Dense(8)(inputs))
    outputs = {"z": first, "b": keras.layers.Activation("linear")(first)}
    model = keras.Model(inputs, outputs | {"copy": inputs})
    inference_model = to_inference_model(model, None)
    write(inference_model, tmp_path / "model.xml", opset=18)
    runner = open_runner(tmp_path / "model.xml")
    feeds = feeds_of(inference_model, 3)
    expected = keras_outputs(inference_model, feeds)
    assert [x.name for x in runner.outputs] == list(expected)
    assert largest_error(runner.run(feeds), expected) <= TOLERANCE


def test_what_openvino_cannot_read_is_refused(tmp_path):
    inference_model = inference_model_of(CASES["recurrent"])
    with pytest.raises(ConversionError, match="OpenVINO .*Loop"):
        write(inference_model, tmp_path / "model.xml", opset=18)


@pytest.mark.parametrize("info", ["", "<rt_info />", "<rt_info><a/></rt_info>"])
def test_metadata_of_every_version_of_openvino(info, tmp_path):
    path = tmp_path / "model.xml"
    path.write_text(f'<?xml version="1.0"?>\n<net><layers />{info}</net>')
    attach(path, b'{"a": "<\\n>"}')
    assert attached(path) == b'{"a": "<\\n>"}'
    root = ElementTree.parse(path).getroot()
    assert root.tag == "net" and root.find("layers") is not None


def test_a_bundle_is_verified(tmp_path):
    folder = tmp_path / "bundle"
    report = export_model(small_model(), folder, formats="openvino")
    (artifact,) = report["artifacts"]
    assert artifact["path"] == "model.xml"
    assert all(result.passed for result in verify(folder))
    weights = folder / "model.bin"
    content = bytearray(weights.read_bytes())
    content[1] ^= 0x40
    weights.write_bytes(content)
    assert not any(result.passed for result in verify(folder))


def test_it_is_written_only_on_request():
    assert "openvino" in FORMATS
    assert "openvino" not in DEFAULT_FORMATS


def test_a_damaged_file_is_refused(tmp_path):
    path = tmp_path / "model.xml"
    path.write_text("<net")
    with pytest.raises(ArtifactError, match="export the model again"):
        load_artifact(path)
