import json
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers

from keras_inception_export.errors import (
    ArtifactError,
    RequestError,
    RuntimeMissingError,
)
from keras_inception_export.formats.saved_model import export as saved_model
from keras_inception_export.model.inference_model import InferenceModel
from tests.helpers.format_cases import (
    CASES,
    feeds_of,
    inference_model_of,
    keras_outputs,
    largest_error,
    perturb,
)

# Relative to an output's largest value. The largest error measured was 2e-7.
TOLERANCE = 2e-6


def write(inference_model, path):
    saved_model.write(inference_model, path, opset=18)
    return path


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_serves_what_keras_computes(case, tmp_path):
    inference_model = inference_model_of(case)
    runner = saved_model.open_runner(
        write(inference_model, tmp_path / "saved_model")
    )
    assert runner.inputs == inference_model.inputs
    assert [spec.name for spec in runner.outputs] == [
        spec.name for spec in inference_model.outputs
    ]
    for batch in (1, 3):
        feeds = feeds_of(inference_model, batch)
        outputs = runner.run(feeds)
        assert list(outputs) == [spec.name for spec in inference_model.outputs]
        expected = keras_outputs(inference_model, feeds)
        assert largest_error(outputs, expected) <= TOLERANCE
    perturb(inference_model)
    assert (
        largest_error(outputs, keras_outputs(inference_model, feeds))
        > TOLERANCE
    )


def test_holds_each_weight_once(tmp_path):
    inference_model = inference_model_of(CASES["tied_dense"])
    folder = write(inference_model, tmp_path / "saved_model")
    size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
    assert size <= 1.02 * 4 * inference_model.model.count_params()


def test_serves_a_lookup_table(tmp_path):
    numbers = layers.Input((2,), dtype="int32", name="numbers")
    lookup = layers.IntegerLookup(vocabulary=[7, 5, 3], name="places")
    inference_model = InferenceModel.of(keras.Model(numbers, lookup(numbers)))
    runner = saved_model.open_runner(
        write(inference_model, tmp_path / "saved_model")
    )
    feeds = {"numbers": np.array([[3, 5], [7, 1]], "int32")}
    np.testing.assert_array_equal(runner.run(feeds)["places"], [[3, 2], [1, 0]])


def test_a_process_without_keras_serves_it(tmp_path):
    inference_model = inference_model_of(CASES["any_order"])
    folder = write(inference_model, tmp_path / "saved_model")
    feeds = feeds_of(inference_model, 2)
    np.savez(tmp_path / "feeds.npz", **feeds)
    program = """if True:
        import sys
        sys.modules["keras"] = None
        import numpy as np
        import tensorflow as tf
        feeds = np.load(sys.argv[2])
        serve = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
        outputs = serve(**{name: tf.constant(feeds[name]) for name in feeds})
        np.savez(sys.argv[3], **{k: v.numpy() for k, v in outputs.items()})
    """
    outputs = tmp_path / "outputs.npz"
    subprocess.run(
        [
            sys.executable,
            "-c",
            program,
            folder,
            tmp_path / "feeds.npz",
            outputs,
        ],
        check=True,
        capture_output=True,
    )
    expected = keras_outputs(inference_model, feeds)
    assert largest_error(np.load(outputs), expected) <= TOLERANCE


@pytest.mark.parametrize(
    "feeds",
    [
        {},
        {"image": np.zeros((1, 12, 12, 2), "float64")},
        {"image": np.zeros((1, 12, 11, 2), "float32")},
        {"image": np.zeros((12, 12, 2), "float32")},
        {"picture": np.zeros((1, 12, 12, 2), "float32")},
    ],
)
def test_refuses_other_inputs(feeds, tmp_path):
    inference_model = inference_model_of(CASES["convolutions"])
    runner = saved_model.open_runner(
        write(inference_model, tmp_path / "saved_model")
    )
    with pytest.raises(RequestError, match="received .*, expected"):
        runner.run(feeds)


def _truncate(file):
    file.write_bytes(file.read_bytes()[:-7])


def _rename_an_output(file):
    order = json.loads(file.read_text())
    file.write_text(json.dumps(order | {"outputs": ["other"]}))


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("saved_model.pb", lambda file: file.unlink()),
        ("saved_model.pb", _truncate),
        ("saved_model.pb", lambda file: file.write_bytes(b"")),
        ("variables/variables.index", lambda file: file.unlink()),
        ("variables/variables.data-00000-of-00001", _truncate),
        ("assets.extra/signature.json", lambda file: file.unlink()),
        ("assets.extra/signature.json", _truncate),
        ("assets.extra/signature.json", _rename_an_output),
    ],
)
def test_refuses_a_damaged_folder(name, damage, tmp_path):
    folder = write(
        inference_model_of(CASES["convolutions"]), tmp_path / "saved_model"
    )
    damage(folder / name)
    with pytest.raises(ArtifactError, match="complete SavedModel") as caught:
        saved_model.open_runner(folder)
    assert "\n" not in str(caught.value)


def test_refuses_threads_once_tensorflow_runs(tmp_path):
    folder = write(
        inference_model_of(CASES["convolutions"]), tmp_path / "saved_model"
    )
    with pytest.raises(RequestError, match="threads=3"):
        saved_model.open_runner(folder, threads=3)


def test_names_the_missing_runtime(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(RuntimeMissingError, match="pip install tensorflow"):
        saved_model.open_runner(tmp_path)
