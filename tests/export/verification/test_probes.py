"""Probes: the inputs, those of the layer references, and the file."""

from dataclasses import asdict, replace

import numpy as np
import pytest

from keras_inception_export.errors import ArtifactError
from keras_inception_export.verification import probes as module
from keras_inception_export.verification.probes import (
    LAYER_REFERENCE_INPUTS,
    Probes,
)


def probes_of(*arrays, regimes=None):
    feeds = tuple({"x": array} for array in arrays)
    regimes = regimes or ("expected",) * len(feeds)
    return Probes(feeds, feeds, feeds, regimes)


def test_file(tmp_path):
    path = tmp_path / "probes.npz"
    written = Probes(
        ({"a/b": np.float32([[1]])}, {"a/b": np.float32([[2], [3]])}),
        ({"y": np.array([1.5])}, {"y": np.array([2.5, 3.5])}),
        ({"y": np.float32([1.5])}, {"y": np.float32([2.5, 3.5])}),
        ("large", "expected"),
        {"small size": "it does not fit"},
    )
    written.save(path)
    read = Probes.load(path)
    np.testing.assert_equal(asdict(read), asdict(written))
    assert read.feeds[0]["a/b"].dtype == "float32"
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(
        ArtifactError, match="probes.npz is damaged.*; nothing can"
    ):
        Probes.load(path)


def test_large_probes_are_not_compressed(tmp_path, monkeypatch):
    written, sizes = probes_of(np.zeros((3, 500))), []
    for limit in (2**25, 0):
        monkeypatch.setattr(module, "MAX_COMPRESSED", limit)
        written.save(path := tmp_path / "probes.npz")
        np.testing.assert_equal(asdict(Probes.load(path)), asdict(written))
        sizes.append(path.stat().st_size)
    assert 2 * sizes[0] < sizes[1]


def test_inputs_that_differ_in_number(tmp_path):
    feeds = ({"a": np.ones((2, 1)), "b": np.ones((3, 1))},)
    outputs = ({"y": np.ones(2)},)
    Probes(feeds, outputs, outputs, ("expected",)).save(tmp_path / "p.npz")
    with pytest.raises(ArtifactError, match="inputs differ in number"):
        Probes.load(tmp_path / "p.npz")


def test_layer_references_use_samples_of_one_shape():
    probes = probes_of(np.ones((1, 2)), np.zeros((3, 4)), np.ones((2, 4)))
    singles = [feed["x"] for feed in probes.singles()]
    assert [array.shape for array in singles] == [(1, 4)] * 5
    (together,) = probes.together()
    np.testing.assert_array_equal(np.concatenate(singles), together["x"])
    assert probes.fixed_batch is None


def test_one_usual_batch_is_not_a_fixed_batch_size():
    expected, unusual = {"x": np.ones((2, 4))}, {"x": np.zeros((1, 4))}
    probes = Probes(
        (unusual, expected), ({}, {}), ({}, {}), ("constant", "expected")
    )
    assert probes.fixed_batch is None
    assert [feed["x"].shape for feed in probes.singles()] == [(1, 4)] * 2


def test_a_fixed_batch_is_not_cut():
    probes = probes_of(*[np.ones((2, 4))] * 3)
    assert probes.fixed_batch == 2
    assert [feed["x"].shape for feed in probes.singles()] == [(2, 4)] * 3
    assert probes.together() == probes.singles()


def test_large_inputs_give_few_layer_references():
    size = LAYER_REFERENCE_INPUTS // 2
    for number, samples in ((size, 2), (3 * size, 1)):
        arrays = np.ones((5, number)), np.ones((1, number))
        assert len(probes_of(*arrays).singles()) == samples
    assert len(probes_of(np.ones((1, 4))).together()) == 1


def test_unusual_inputs_are_left_out():
    probes = probes_of(
        *(np.full((1, 4), i) for i in range(3)),
        regimes=("large", "expected", "samples"),
    )
    assert [feed["x"][0, 0] for feed in probes.only().feeds] == [2]
    assert [feed["x"][0, 0] for feed in probes.singles()] == [2]
    without = probes.only({"large", "expected"})
    assert without.only().regimes == ("expected",)
    assert probes.only({"large"}).regimes == ("large",)
    unused = {"small size": "it does not fit"}
    noted = replace(probes, unused=unused)
    assert noted.only().unused == unused
    assert noted.as_json() == {
        "regimes": {"large": 1, "expected": 1, "samples": 1},
        "unused": unused,
    }
    assert probes.by_regime() == {"large": [0], "expected": [1], "samples": [2]}
    assert [y[0, 0] for y in probes.reference_of("x")] == [0, 1, 2]
