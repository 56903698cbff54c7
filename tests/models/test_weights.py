"""`weights=`: files of `keras.applications`, and files that do not fit."""

from functools import cache

import h5py
import keras
import pytest
from keras.src.legacy.saving import legacy_h5_format

from keras_inception_layers import (
    VGG16,
    InceptionResNetV2,
    InceptionV3,
    InceptionV4,
    VGG16Inception,
    drop_auxiliary,
)
from tests.helpers.numeric import (
    check_equal,
    random_images,
    randomize,
    relative_error,
)

# Other tests load a file under every backend.
pytestmark = pytest.mark.one_backend

# Relative to the largest output. Measured: 0.
TOLERANCE = 1e-5
# Height and width of the smallest images.
SIZES = {VGG16: 32, InceptionV3: 75, InceptionResNetV2: 75}


def write_published(model, path):
    """Write the format of the files that `keras.applications` downloads."""
    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, model)


WRITERS = {
    "kernels_notop.h5": write_published,
    "model.h5": lambda model, path: model.save(path),
    "model.keras": lambda model, path: model.save(path),
    "model.weights.h5": lambda model, path: model.save_weights(path),
}


@cache
def source(network, **options):
    """Return the network of Keras for small images; no test changes it."""
    size = SIZES[network]
    theirs = getattr(keras.applications, network.__name__)
    options = {"include_top": False, "input_shape": (size, size, 3), **options}
    return randomize(theirs(weights=None, **options))


def check_same(ours, theirs):
    images = random_images((1, *theirs.input_shape[1:]))
    check_equal(ours, images, theirs(images), TOLERANCE, ours.weights[0])


slow = pytest.mark.slow


@pytest.mark.parametrize(
    ("network", "name"),
    [
        (VGG16, "kernels_notop.h5"),
        (InceptionV3, "kernels_notop.h5"),
        pytest.param(VGG16, "model.h5", marks=slow),
        pytest.param(VGG16, "model.keras", marks=slow),
        pytest.param(InceptionV3, "model.keras", marks=slow),
        pytest.param(InceptionResNetV2, "kernels_notop.h5", marks=slow),
    ],
)
def test_files_of_keras_applications_are_loaded(network, name, tmp_path):
    theirs = source(network)
    WRITERS[name](theirs, tmp_path / name)
    ours = network(
        include_top=False,
        weights=tmp_path / name,
        input_shape=theirs.input_shape[1:],
        pooling=None,
    )
    check_same(ours, theirs)


@pytest.mark.slow
def test_the_top_is_loaded_and_a_side_head_stays_random(tmp_path):
    theirs = source(InceptionV3, include_top=True, classes=4)
    path = tmp_path / "model.weights.h5"
    theirs.save_weights(path)
    ours = InceptionV3(
        weights=path, classes=4, auxiliary=True, input_shape=(None, None, 3)
    )
    ours = drop_auxiliary(ours)
    images = random_images((1, 75, 75, 3))
    [probabilities] = keras.tree.flatten(ours(images))
    assert relative_error(probabilities, theirs(images)) < TOLERANCE


def test_vgg16_loads_the_published_weights(monkeypatch, tmp_path):
    """A file of random weights replaces the one that is downloaded."""
    requested = []

    def get_file(name, *arguments, **options):
        requested.append(name)
        write_published(source(VGG16), tmp_path / name)
        return tmp_path / name

    monkeypatch.setattr(keras.src.utils.file_utils, "get_file", get_file)
    ours = VGG16(False, "imagenet", pooling=None)
    assert ours.input_shape == (None, 224, 224, 3)
    assert requested == ["vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"]
    with_unknown_size = VGG16(False, "imagenet", input_shape=None)
    assert with_unknown_size.input_shape == (None, None, None, 3)
    small = VGG16(False, "imagenet", None, (32, 32, 3), None)
    check_same(small, source(VGG16))
    for include_top, shape in (
        (False, (32, 32, 1)),
        (False, (224, 224, 1)),
        (True, (64, 64, 3)),
    ):
        with pytest.raises(ValueError, match="images.*with three channels"):
            VGG16(include_top, "imagenet", input_shape=shape)
    assert len(requested) == 3
    keras.config.set_image_data_format("channels_first")
    assert VGG16(False, "imagenet").input_shape == (None, 3, 224, 224)


@pytest.mark.parametrize(
    ("network", "file", "options", "message"),
    [
        (VGG16, "kernels_notop.h5", {}, None),
        (VGG16, "kernels_notop.h5", {"input_shape": (32, 32, 1)}, "mismatch"),
        (VGG16, "kernels_notop.h5", {"include_top": True}, "count mismatch"),
        (VGG16Inception, "kernels_notop.h5", {}, "Weight count mismatch"),
        (VGG16, "junk.h5", {}, "signature not found.*`keras.applications`"),
        (VGG16, "junk.keras", {}, "not a zip file"),
        (VGG16, "junk.pth", {}, "not supported: .*junk.pth"),
        (InceptionV4, "junk.h5", {"input_shape": (75, 75, 3)}, "signature"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_a_file_that_does_not_fit_is_one_line(
    network, file, options, message, tmp_path
):
    path = tmp_path / file
    if file in WRITERS:
        WRITERS[file](source(VGG16), path)
    else:
        path.write_text("junk")
    options = {"include_top": False, "input_shape": (32, 32, 3), **options}
    if message is None:
        network(weights=path, **options)
        return
    with pytest.raises(ValueError, match=message) as error:
        network(weights=path, classes=3, **options)
    text = str(error.value)
    assert text.startswith("weights=") and "\n" not in text and file in text
