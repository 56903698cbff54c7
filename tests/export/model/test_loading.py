"""Models made Functional, and models that are refused."""

import json
import sys
import zipfile

import h5py
import keras
import numpy as np
import pytest
from keras import layers

from keras_inception_export import RequestError
from keras_inception_export.model.inference_model import to_inference_model
from keras_inception_export.model.loading import (
    deep_models,
    functional,
    import_modules,
    load_model,
)
from keras_inception_layers import AuxiliaryClassifier
from tests.helpers.format_cases import small_model
from tests.helpers.numeric import random_images
from tests.helpers.structures import Subclassed

VECTOR = np.zeros((1, 4), "float32")


def unbuilt():
    return keras.Sequential([layers.Dense(3)], name="young")


def layer_name():
    image = keras.Input((4,))
    return keras.Model(image, layers.Dense(2, name="two words")(image))


def stateful():
    steps = keras.Input(batch_shape=(2, 5, 4))
    cell = layers.Bidirectional(layers.LSTM(3, stateful=True), name="memory")
    return keras.Model(steps, cell(steps))


class TwoArguments(Subclassed):
    def call(self, left, right, training=False):
        return left + right


class Eager(Subclassed):
    def call(self, inputs):
        return keras.ops.convert_to_tensor(np.asarray(inputs))


class Tripled(keras.Model):
    """A Functional model that computes more than its graph."""

    def __init__(self):
        vector = keras.Input((4,))
        super().__init__(vector, {"scores": layers.Dense(3)(vector)})

    def call(self, inputs, training=None, mask=None):
        outputs = super().call(inputs, training=training, mask=mask)
        return {key: 3 * value for key, value in outputs.items()}


class Around(Tripled):
    def __call__(self, *args, **kwargs):
        return super().__call__(*args, **kwargs)


class Doubled(keras.Model):
    """A Functional model that does something around its graph."""

    def __init__(self):
        vector = keras.Input((4,))
        inner = keras.Model(vector, [layers.Dense(3)(vector), vector])
        super().__init__(vector, inner(vector)[0])  # one is not read

    def __call__(self, *args, **kwargs):
        return 2 * super().__call__(*args, **kwargs)


class SquaredSequential(keras.Sequential):
    def call(self, inputs, training=None, mask=None):
        return super().call(inputs, training=training, mask=mask) ** 2


def replaced_call():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    compute = model.call
    model.call = lambda inputs, **kwargs: compute(inputs, **kwargs) + 1
    return model


def called(model, *inputs):
    model(*inputs)
    return model


@pytest.mark.filterwarnings("ignore:`build..` was called on layer")
@pytest.mark.parametrize(
    ("make", "message"),
    (
        (unbuilt, '"young" is not built'),
        (layer_name, 'layer name "two words" cannot be a name scope'),
        (stateful, r'"memory" \(Bidirectional\) is stateful'),
        (
            lambda: called(TwoArguments(), VECTOR, VECTOR),
            "the arguments left, right",
        ),
        (
            lambda: called(Eager(), VECTOR),
            '"eager" cannot be called on symbolic inputs',
        ),
        (Around, 'class Around of the model "around" defines __call__'),
    ),
)
def test_refused(make, message):
    with pytest.raises(RequestError, match=message):
        functional(make())


def test_what_a_functional_model_does_around_its_graph_is_computed():
    model, vectors = Doubled(), random_images((2, 4))
    assert functional(model) is model
    (outputs,) = to_inference_model(model).call(vectors)
    np.testing.assert_allclose(outputs, model(vectors), rtol=1e-6)


def test_a_sequential_model_keeps_its_layers():
    model, images = small_model(), random_images((2, 12, 12, 3))
    same = functional(model)
    assert same.name == model.name and not isinstance(same, keras.Sequential)
    np.testing.assert_array_equal(same(images), model(images))


@pytest.mark.parametrize(
    "make",
    (
        Tripled,
        lambda: SquaredSequential([keras.Input((4,)), layers.Dense(3)]),
        replaced_call,
    ),
    ids=("functional", "sequential", "replaced"),
)
def test_a_call_that_computes_more_than_the_graph(make):
    model, vectors = make(), random_images((2, 4))
    same = functional(model)
    for found, expected in zip(
        keras.tree.flatten(same(vectors)),
        keras.tree.flatten(model(vectors)),
        strict=True,
    ):
        np.testing.assert_array_equal(found, expected)


def test_a_call_of_a_nested_model_whose_outputs_are_not_all_read():
    """The model without the other output would be its graph alone."""
    vector = keras.Input((4,))
    inner = keras.Model(vector, [layers.Dense(3)(vector), vector])
    compute = inner.call
    inner.call = lambda *args, **kwargs: [
        3 * x for x in compute(*args, **kwargs)
    ]
    model, vectors = (
        keras.Model(vector, inner(vector)[0]),
        random_images((2, 4)),
    )
    np.testing.assert_array_equal(functional(model)(vectors), model(vectors))


def test_side_heads_of_a_nested_network_are_dropped():
    def heads(x):
        main = layers.GlobalMaxPooling2D(name="main")(x)
        return {"main": main, "side": AuxiliaryClassifier(2)(x)}

    image = keras.Input((5, 5, 1))
    network = keras.Model(image, heads(image))
    images = random_images((2, 5, 5, 1))
    for model in (
        keras.Model(image, network(image)),
        keras.Sequential([image, network]),
    ):
        same = functional(model)
        np.testing.assert_array_equal(same(images), model(images)["main"])


def test_a_missing_module_is_named():
    with pytest.raises(RequestError, match="--import no_such_module"):
        import_modules(["no_such_module"])


@pytest.mark.parametrize("suffix", (".keras", ".h5"))
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5")
def test_a_file_of_either_format_is_loaded(suffix, tmp_path):
    """Keras 2 wrote HDF5 files of both suffixes."""
    model, images = small_model(), random_images((2, 12, 12, 3))
    model.save(tmp_path / "model.h5")
    path = (tmp_path / "model.h5").rename(tmp_path / f"old{suffix}")
    np.testing.assert_array_equal(load_model(path)(images), model(images))


def test_a_file_of_weights_is_refused(tmp_path):
    path = tmp_path / "model.weights.h5"
    small_model().save_weights(path)
    with pytest.raises(RequestError, match="a file of weights alone"):
        load_model(path)


@pytest.mark.parametrize(
    ("version", "remedy"),
    (
        ("2.15.0", "build the model with Keras 3 and give it the weights"),
        (keras.__version__, "--import MODULE"),
        ("99.0.0", "install the version of Keras that saved it"),
    ),
)
def test_the_version_that_saved_a_file_is_named(version, remedy, tmp_path):
    path = tmp_path / "old.keras"
    of_keras_2 = {"module": "tf_keras.src", "registered_name": "Functional"}
    config = {"class_name": "Functional", "config": {}, **of_keras_2}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("metadata.json", f'{{"keras_version": "{version}"}}')
    message = f"saved by Keras {version}, cannot .*{remedy}"
    with pytest.raises(RequestError, match=message):
        load_model(path)


def test_a_file_without_metadata_is_loaded(tmp_path):
    """As Keras does, which writes but does not read them."""
    model, path = small_model(), tmp_path / "bare.keras"
    model.save(tmp_path / "model.keras")
    with (
        zipfile.ZipFile(tmp_path / "model.keras") as whole,
        zipfile.ZipFile(path, "w") as bare,
    ):
        for name in ("config.json", "model.weights.h5"):
            bare.writestr(name, whole.read(name))
    image = random_images((1, 12, 12, 3))
    np.testing.assert_array_equal(load_model(path)(image), model(image))


def test_the_version_may_be_bytes(tmp_path):
    """As h5py wrote it in the time of Keras 2.2."""
    path = tmp_path / "old.h5"
    config = {"class_name": "Elsewhere", "config": {}}
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = np.bytes_(json.dumps(config))
        file.attrs["keras_version"] = np.bytes_("2.2.4")
    with pytest.raises(RequestError, match="saved by Keras 2.2.4, cannot"):
        load_model(path)


@pytest.mark.parametrize(
    "layer",
    (
        layers.Dense(2, activation=lambda x: 2 * x, name="code"),
        layers.Lambda(lambda x: 2 * x, name="code"),
    ),
    ids=("activation", "layer"),
)
@pytest.mark.filterwarnings("ignore:The object being serialized includes")
def test_a_layer_with_a_lambda_is_named(layer, tmp_path):
    path = tmp_path / "model.keras"
    keras.Sequential([keras.Input((4,)), layer]).save(path)
    with pytest.raises(RequestError, match='a lambda in "code", whose code'):
        load_model(path)


def test_a_lambda_layer_of_a_function_of_keras_is_loaded(tmp_path):
    path, vectors = tmp_path / "model.keras", random_images((2, 4)) - 0.5
    model = keras.Sequential([keras.Input((4,)), layers.Lambda(keras.ops.relu)])
    model.save(path)
    np.testing.assert_array_equal(load_model(path)(vectors), model(vectors))


@keras.saving.register_keras_serializable("tests")
class TwoModes(keras.Model):
    """In inference it has another layer than Keras builds when it loads it."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.trained, self.used = layers.Dense(3), layers.Dense(3, name="used")

    def call(self, inputs, training=True):
        return (self.trained if training else self.used)(inputs)


@pytest.mark.filterwarnings("ignore:`build..` was called on layer")
def test_a_layer_whose_weights_keras_does_not_restore_is_named(tmp_path):
    path, vectors = tmp_path / "model.keras", random_images((2, 4))
    model = TwoModes()
    model(vectors)
    outputs = model(vectors, training=False)
    model.save(path)
    with pytest.raises(RequestError, match=r'used" \(Dense\) in .* not built'):
        load_model(path)
    loaded = keras.models.load_model(path)
    assert np.any(outputs != loaded(vectors, training=False))


def test_a_deep_model_is_loaded(tmp_path):
    """Keras alone follows no more than some 980 layers in a row."""
    path, limit = tmp_path / "deep.keras", sys.getrecursionlimit()
    x = vector = keras.Input((3,))
    identity = layers.Identity()
    with deep_models():
        for _ in range(limit + 100):
            x = identity(x)
        keras.Model(vector, x).save(path)
    with pytest.raises(RecursionError):
        keras.models.load_model(path)
    assert len(load_model(path)._nodes) == limit + 101
    assert sys.getrecursionlimit() == limit
