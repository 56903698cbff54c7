"""No file of a Keras model crashes or floods the reader."""

import io
import zipfile
import zlib

import h5py
import keras
import numpy as np
import pytest

from keras_inception_export.errors import RequestError
from keras_inception_export.model import loading, stored_weights
from keras_inception_export.model.loading import load_model


def dense(units=64):
    inputs = keras.Input((64,), name="x")
    outputs = keras.layers.Dense(units, "relu", name="d")(inputs)
    return keras.Model(inputs, outputs)


def members(path):
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def rewrite(path, method=zipfile.ZIP_STORED, **changes):
    files = members(path)
    with zipfile.ZipFile(path, "w", method) as file:
        for name, content in files.items():
            file.writestr(name, changes.get(name.split(".")[-2], content))


def with_kernel(path, make, shape=(64, 64), **options):
    """Replace the kernel in a file, as `make` writes it."""
    hdf5 = path.suffix == ".h5"
    content = io.BytesIO() if hdf5 else io.BytesIO(members(path)[KERAS_WEIGHTS])
    with h5py.File(path if hdf5 else content, "a") as file:
        names = []
        file.visititems(lambda n, x: names.append((getattr(x, "ndim", 0), n)))
        name = max(names)[1]
        old = file[name][...]
        del file[name]
        make(file, name, old, shape, options)
    if not hdf5:
        rewrite(path, weights=content.getvalue())


KERAS_WEIGHTS = "model.weights.h5"


def declared(file, name, old, shape, options):
    file.create_dataset(name, shape, "f4", **options)


def written(file, name, old, shape, options):
    file.create_dataset(name, data=old, **options)


def expanding(file, name, old, shape, options):
    data = file.create_dataset(name, (64, 64), "f4", chunks=(64, 64), **options)
    data.id.write_direct_chunk((0, 0), zlib.compress(bytes(2**20)))


def linked(file, name, old, shape, options):
    file[name] = h5py.ExternalLink("other.h5", "kernel")


def external(file, name, old, shape, options):
    options = {"external": [("other", 0, h5py.h5f.UNLIMITED)]}
    file.create_dataset(name, (64, 64), "f4", **options)


BIG = {"shape": (2**12, 2**12), "chunks": (64, 64), "compression": "gzip"}
GZIP = {"compression": "gzip", "shuffle": True, "fletcher32": True}
DECLARES = "of weights, more than the model"
MODELS = {
    "zip": (lambda x: rewrite(x, 8, weights=bytes(2**22)), DECLARES),
    "shape": (lambda x: with_kernel(x, declared, **BIG), DECLARES),
    "chunk": (lambda x: with_kernel(x, expanding, **GZIP), "expands to more"),
    "filter": (
        lambda x: with_kernel(x, written, compression="lzf"),
        "unknown filter",
    ),
    "link": (lambda x: with_kernel(x, linked), "a link to another place"),
    "external": (lambda x: with_kernel(x, external), "not stored as numbers"),
    "units": (
        lambda x: rewrite(
            x, config=members(x)["config.json"].replace(b": 64", b": 999999")
        ),
        "the config declares weights of",
    ),
    "config": (lambda x: rewrite(x, 8, config=bytes(2**25)), "100 times"),
    "deep": (lambda x: rewrite(x, config=b"[" * 10**5), "not a Keras model"),
    "list": (lambda x: rewrite(x, config=b"[1]"), "cannot be loaded"),
    "class": (
        lambda x: rewrite(x, config=b'{"class_name": [], "config": 3}'),
        "cannot be loaded",
    ),
}
RIGHT = {
    "as saved": lambda x: None,
    "deflated": lambda x: rewrite(x, 8),
    "gzip": lambda x: with_kernel(x, written, **GZIP),
}


@pytest.fixture
def small_limits(monkeypatch):
    """What a small file may expand to is small, so that test files are."""
    monkeypatch.setattr(stored_weights, "FREE", 2**12)


@pytest.mark.parametrize("case", MODELS)
def test_a_hostile_model_is_one_line(case, tmp_path, small_limits):
    dense().save(tmp_path / "a.keras")
    change, message = MODELS[case]
    change(tmp_path / "a.keras")
    with pytest.raises(RequestError, match=message) as caught:
        load_model(tmp_path / "a.keras")
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore:You are saving")
@pytest.mark.parametrize(
    ("make", "message"), [(declared, DECLARES), (linked, "a link to another")]
)
def test_a_hostile_hdf5_file_is_one_line(make, message, tmp_path, small_limits):
    dense().save(tmp_path / "a.h5")
    load_model(tmp_path / "a.h5")
    with_kernel(tmp_path / "a.h5", make, **BIG)
    with pytest.raises(RequestError, match=message):
        load_model(tmp_path / "a.h5")


@pytest.mark.parametrize("case", RIGHT)
def test_a_model_of_zeros_is_loaded(case, tmp_path, small_limits):
    """It is compressed to less than its model's size, but is as large."""
    model = dense()
    model.layers[1].kernel.assign(np.zeros((64, 64)))
    model.compile("adam")
    model.optimizer.build(model.trainable_variables)
    model.save(tmp_path / "a.keras")
    RIGHT[case](tmp_path / "a.keras")
    loaded = load_model(tmp_path / "a.keras")
    for left, right in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(np.array(left), np.array(right))


def test_a_config_of_too_many_objects_is_refused_before_they_are_made(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(loading, "MOST_OBJECTS", 5)
    dense().save(tmp_path / "a.keras")
    with pytest.raises(RequestError, match="declares more than 5 layers"):
        load_model(tmp_path / "a.keras")
