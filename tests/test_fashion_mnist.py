"""Loading, preparation and augmentation in examples/fashion_mnist.py."""

import gzip
import importlib.util
from pathlib import Path

import numpy as np
import pytest

SOURCE = Path(__file__).parents[1] / "examples" / "fashion_mnist.py"


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("fashion_mnist", SOURCE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write(path, header, values):
    with gzip.open(path, "wb") as file:
        file.write(bytes(header) + bytes(values))


@pytest.fixture
def folder(tmp_path):
    """Write idx files of three training and two test images, 28 x 28."""
    for part, number in (("train", 3), ("t10k", 2)):
        pixels = [(7 * i) % 251 for i in range(number * 28 * 28)]
        header = (0, 0, 8, 3, 0, 0, 0, number, 0, 0, 0, 28, 0, 0, 0, 28)
        write(tmp_path / f"{part}-images-idx3-ubyte.gz", header, pixels)
        header = (0, 0, 8, 1, 0, 0, 0, number)
        write(tmp_path / f"{part}-labels-idx1-ubyte.gz", header, range(number))
    return tmp_path


def test_idx_files(example, folder):
    (x, y), (x_test, y_test) = example.load_data(folder)
    assert x.shape == (3, 28, 28) and x_test.shape == (2, 28, 28)
    assert y.tolist() == [0, 1, 2] and y_test.tolist() == [0, 1]
    assert x[1, 2, 3] == 7 * (28 * 28 + 2 * 28 + 3) % 251
    assert x.dtype == y.dtype == "uint8"


@pytest.mark.parametrize(
    ("header", "values", "message"),
    (
        ((0, 0, 13, 1, 0, 0, 0, 2), (1, 2), "not an idx file of bytes"),
        ((0, 0, 8, 1, 0, 0, 0, 3), (1, 2), "holds 2 bytes, expected 3"),
    ),
    ids=("floats", "cut short"),
)
def test_damaged_idx_file(example, header, values, message, tmp_path):
    write(tmp_path / "labels.gz", header, values)
    with pytest.raises(ValueError, match=message):
        example.read_idx(tmp_path / "labels.gz")


def test_prepared_images(example):
    images = np.full((2, 28, 28), 255, "uint8")
    prepared = example.prepare(images)
    assert prepared.shape == (2, 32, 32, 1) and prepared.dtype == "float32"
    assert prepared.sum() == 2 * 28 * 28
    assert (prepared[:, 2:30, 2:30] == 1).all()


def test_batches_are_shuffled_and_mirrored(example):
    images = np.random.default_rng(0).random((40, 32, 32, 1), "float32")
    batches = example.Augmented(images, np.arange(40), 8)
    seen, mirrored = [], 0
    for index in range(len(batches)):
        for image, label in zip(*batches[index], strict=True):
            seen.append(int(label))
            same = (image == images[label]).all()
            assert same != (image == images[label][:, ::-1]).all()
            mirrored += not same
    assert sorted(seen) == list(range(40)) != seen
    assert 10 <= mirrored <= 30
    batches.on_epoch_end()
    assert [int(x) for i in range(5) for x in batches[i][1]] != seen
