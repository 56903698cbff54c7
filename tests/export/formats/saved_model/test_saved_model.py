"""SavedModel artifacts of Keras models, and what TensorFlow makes of them."""

import json
import re
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from keras_inception_export.errors import (
    ArtifactError,
    ConversionError,
    RequestError,
)
from keras_inception_export.formats.saved_model import export
from keras_inception_export.formats.saved_model.runtime import open_runner
from keras_inception_export.model.inference_model import InferenceModel
from keras_inception_export.model.kernels import portable_kernels
from keras_inception_export.model.loading import functional
from tests.helpers.format_cases import (
    CASES,
    check_artifact,
    feeds_of,
    inference_model_of,
    keras_outputs,
    largest_error,
)

# Relative to an output's largest value. The largest error measured was 2e-7.
TOLERANCE = 2e-6


def write(inference_model, path):
    export.write(inference_model, path, opset=18)
    return path


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    """Return a function that writes a case once; copy it to alter it."""
    paths = {}

    def written(case):
        if case not in paths:
            path = tmp_path_factory.mktemp(case) / "saved_model"
            paths[case] = write(inference_model_of(CASES[case]), path)
        return paths[case]

    return written


@pytest.mark.parametrize("case", CASES)
def test_computes_what_keras_computes(case, artifact):
    inference_model = inference_model_of(CASES[case])
    check_artifact(open_runner(artifact(case)), inference_model, TOLERANCE)


def test_stores_each_weight_once(artifact):
    files = [x for x in artifact("tied_dense").rglob("*") if x.is_file()]
    model = inference_model_of(CASES["tied_dense"]).model
    size = sum(file.stat().st_size for file in files)
    assert size <= 1.02 * 4 * model.count_params()


def test_saves_a_lookup_table(tmp_path):
    numbers = layers.Input((2,), dtype="int32", name="numbers")
    lookup = layers.IntegerLookup(vocabulary=[7, 5, 3], name="indices")
    inference_model = InferenceModel.of(keras.Model(numbers, lookup(numbers)))
    runner = open_runner(write(inference_model, tmp_path / "saved_model"))
    feeds = {"numbers": np.array([[3, 5], [7, 1]], "int32")}
    indices = runner.run(feeds)["indices"]
    np.testing.assert_array_equal(indices, [[3, 2], [1, 0]])


@pytest.mark.parametrize(
    "activation",
    [
        *map(layers.Activation, ("mish", "gelu", "elu", "tanh", "relu6")),
        *(layers.LeakyReLU(negative_slope=x) for x in (0.2, 0.3, 1.5)),
    ],
    ids=["mish", "gelu", "elu", "tanh", "relu6", "0.2", "0.3", "1.5"],
)
def test_computes_an_activation_after_a_sum(activation, tmp_path):
    # With oneDNN, TensorFlow computes all of this as one operation.
    x = keras.Input((6, 6, 3), name="x")
    normal = keras.initializers.RandomNormal(stddev=0.5, seed=1)
    convolution = layers.Conv2D(
        3, 3, padding="same", kernel_initializer=normal, bias_initializer=normal
    )
    model = keras.Model(x, activation(convolution(x) + x), name="fused")
    feeds = {"x": np.random.default_rng(0).normal(size=(2, 6, 6, 3))}
    feeds["x"] = feeds["x"].astype("float32")
    runner = open_runner(
        write(InferenceModel.of(model), tmp_path / "saved_model")
    )
    (output,) = runner.run(feeds).values()
    expected = model(feeds["x"]).numpy()
    np.testing.assert_allclose(output, expected, atol=2e-6)
    assert abs(output - model(feeds["x"] + 0.1).numpy()).max() > 2e-6


def operations(folder, kind):
    """Return the operations of a type in a SavedModel."""
    text = (folder / "saved_model.pb").read_bytes()
    graphs = SavedModel.FromString(text).meta_graphs[0].graph_def.library
    nodes = (node for function in graphs.function for node in function.node_def)
    return [node for node in nodes if node.op == kind]


@pytest.mark.parametrize(
    "layer, shape, kind, attribute, unwritten",
    [
        (
            layers.Conv2DTranspose(2, (2, 3), dilation_rate=(3, 2)),
            *((5, 6, 3), "Conv2DBackpropInput"),
            *("dilations", "i: [23]"),
        ),
        (
            layers.Conv3D(2, (1, 2, 3), strides=3, padding="same"),
            *((None, 6, 5, 3), "Conv3D", "padding", "SAME"),
        ),
    ],
)
def test_what_only_onednn_computes_is_not_written(
    layer, shape, kind, attribute, unwritten, tmp_path
):
    x = keras.Input(shape, name="x")
    model = InferenceModel.of(keras.Model(x, layer(x)))
    folder = write(model, tmp_path / "saved_model")
    (operation,) = operations(folder, kind)
    assert not re.search(unwritten, str(operation.attr[attribute]))
    sizes = [size or 4 for size in shape]
    feeds = {"x": np.random.default_rng(0).normal(size=(2, *sizes))}
    feeds["x"] = feeds["x"].astype("float32")
    (output,) = open_runner(folder).run(feeds).values()
    with portable_kernels():
        np.testing.assert_allclose(output, layer(feeds["x"]), atol=2e-6)
    assert np.abs(output - layer(feeds["x"] + 0.1)).max() > 2e-6


class PythonLength(layers.Layer):
    """Computes with the batch size, which has no value while it is traced."""

    def call(self, inputs):
        return inputs * len(inputs)

    def compute_output_spec(self, inputs):
        return keras.KerasTensor(inputs.shape, inputs.dtype)


def test_names_the_reason_why_a_model_cannot_be_traced(tmp_path):
    vector = layers.Input((2,), name="vector")
    model = keras.Model(vector, PythonLength()(vector))
    reason = 'trace the model: the layer "python_length" .*: len is not'
    with pytest.raises(ConversionError, match=reason):
        write(InferenceModel.of(model), tmp_path / "saved_model")


class Python(layers.Layer):
    """It computes with NumPy, in a graph too."""

    def call(self, inputs):
        tripled = tf.numpy_function(lambda x: 3 * x, [inputs], inputs.dtype)
        return tf.ensure_shape(tripled, inputs.shape)


def test_code_of_this_process_is_refused(tmp_path):
    model = keras.Sequential([keras.Input((4,)), Python(name="tripled")])
    inference_model = InferenceModel.of(functional(model))
    with pytest.raises(ConversionError, match="tripled.* runs Python code"):
        write(inference_model, tmp_path / "saved_model")


def test_a_process_without_keras_runs_it(artifact, tmp_path):
    inference_model = inference_model_of(CASES["any_order"])
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
    paths = artifact("any_order"), tmp_path / "feeds.npz", tmp_path / "out.npz"
    subprocess.run([sys.executable, "-c", program, *paths], check=True)
    expected = keras_outputs(inference_model, feeds)
    assert largest_error(np.load(paths[2]), expected) <= TOLERANCE


def test_refuses_other_inputs(artifact):
    runner = open_runner(artifact("convolutions"))
    with pytest.raises(RequestError, match="received .*, expected"):
        runner.run({"image": np.zeros((1, 12, 12, 2), "float64")})


def truncate(file):
    file.write_bytes(file.read_bytes()[:-7])


def rename_an_output(file):
    order = json.loads(file.read_text())
    file.write_text(json.dumps(order | {"outputs": ["other"]}))


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("saved_model.pb", lambda file: file.unlink()),
        ("saved_model.pb", truncate),
        ("saved_model.pb", lambda file: file.write_bytes(b"")),
        ("variables/variables.index", lambda file: file.unlink()),
        ("variables/variables.data-00000-of-00001", truncate),
        ("assets.extra/signature.json", lambda file: file.unlink()),
        ("assets.extra/signature.json", truncate),
        ("assets.extra/signature.json", rename_an_output),
    ],
)
def test_refuses_a_damaged_folder(name, damage, artifact, tmp_path):
    folder = shutil.copytree(artifact("convolutions"), tmp_path / "saved_model")
    damage(folder / name)
    with pytest.raises(ArtifactError, match="complete SavedModel") as caught:
        open_runner(folder)
    assert "\n" not in str(caught.value)


def test_refuses_threads_once_tensorflow_runs(artifact):
    with pytest.raises(RequestError, match="threads=3"):
        open_runner(artifact("convolutions"), threads=3)
