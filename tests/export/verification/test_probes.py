"""Probes: the inputs, those of the layer references, and the file."""

from dataclasses import asdict

import numpy as np
import pytest

from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.errors import ArtifactError
from keras_inception_export.verification.probes import (
    BATCH_SIZES,
    LAYER_REFERENCE_INPUTS,
    Probes,
    random_feeds,
    sample_feeds,
)


def probes_of(*arrays):
    return Probes(tuple({"x": array} for array in arrays), (), {})


def test_file(tmp_path):
    path = tmp_path / "probes.npz"
    written = Probes(
        ({"a/b": np.float32([[1]])}, {"a/b": np.float32([[2], [3]])}),
        ({"y": np.array([1.5])}, {"y": np.array([2.5, 3.5])}),
        {"y": 1.25e-7},
    )
    written.save(path)
    read = Probes.load(path)
    np.testing.assert_equal(asdict(read), asdict(written))
    assert read.feeds[0]["a/b"].dtype == "float32"
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(ArtifactError, match="probes.npz is damaged"):
        Probes.load(path)


def test_layer_references_use_samples_of_one_shape():
    probes = probes_of(np.ones((1, 2)), np.zeros((3, 4)), np.ones((2, 4)))
    singles = [feed["x"] for feed in probes.singles()]
    assert [array.shape for array in singles] == [(1, 4)] * 5
    (together,) = probes.together()
    np.testing.assert_array_equal(np.concatenate(singles), together["x"])
    assert probes.fixed_batch is None


def test_a_fixed_batch_is_not_cut():
    probes = probes_of(*[np.ones((2, 4))] * 3)
    assert probes.fixed_batch == 2
    assert [feed["x"].shape for feed in probes.singles()] == [(2, 4)] * 3
    assert probes.together() == probes.singles()


def test_large_inputs_give_few_layer_references():
    size = LAYER_REFERENCE_INPUTS // 2
    assert len(probes_of(np.ones((5, size)), np.ones((1, size))).singles()) == 2


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    (
        ("float32", -2.0, 3.0),
        ("int32", 0, 9),
        ("uint8", 0, 255),
        ("bool", 0, 1),
    ),
)
def test_random_feeds(dtype, low, high):
    spec = TensorSpec("x", (None, None, 5), dtype)
    feeds = random_feeds([spec], (-2.0, 3.0), 10)
    again = random_feeds([spec], (-2.0, 3.0), 10)
    np.testing.assert_equal(feeds, again)
    arrays = [feed["x"] for feed in feeds]
    assert tuple(map(len, arrays)) == BATCH_SIZES
    assert arrays[0].shape[1] != arrays[1].shape[1] == arrays[2].shape[1]
    for array in arrays:
        assert array.dtype == dtype and array.shape[2] == 5
        assert array.min() >= low and array.max() <= high
    assert len(np.unique(arrays[2])) > 1


@pytest.mark.parametrize("fixed", (None, 2))
def test_sample_feeds_repeat_the_samples(fixed):
    spec = TensorSpec("x", (fixed, 1), "float32")
    feeds = sample_feeds([spec], {"x": np.arange(4.0)[:, None]})
    found = np.concatenate([feed["x"] for feed in feeds]).ravel()
    np.testing.assert_array_equal(found, np.arange(len(found)) % 4)
    sizes = tuple(len(feed["x"]) for feed in feeds)
    assert sizes == ((2, 2, 2) if fixed else BATCH_SIZES)
