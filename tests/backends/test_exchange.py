"""Files written under one backend are read and exported under the others."""

import contextlib
from itertools import product

import numpy as np
import pytest

from keras_inception_export import load_artifact, verify
from keras_inception_export.cli import main
from tests.helpers.backends.exchange import MODELS
from tests.helpers.backends.processes import (
    BACKENDS,
    finish,
    start,
    wait_for,
)
from tests.helpers.numeric import random_images, relative_error

# Of the largest output. Measured: 3.9e-7.
TOLERANCE = 5e-6
MODULE = "tests.helpers.backends.exchange"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The files of every backend, and their outputs under every backend."""
    folder = tmp_path_factory.mktemp("exchange")
    processes = [start(x, "-m", MODULE, folder) for x in BACKENDS]
    for process in processes:
        wait_for("written\n", process)
    for process in processes:
        with contextlib.suppress(BrokenPipeError):  # `finish` says why
            process.stdin.write("read\n")
            process.stdin.flush()
    finish(*processes)
    return folder


def outputs(path):
    with np.load(path) as file:
        return [file[name] for name in file.files]


def error(actual, expected):
    return max(map(relative_error, actual, expected))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    ("writer", "reader"), list(product(BACKENDS, BACKENDS))
)
def test_every_backend_computes_the_same_outputs(name, writer, reader, folder):
    expected = outputs(folder / f"{name}_{writer}_by_{writer}.npz")
    read = outputs(folder / f"{name}_{writer}_by_{reader}.npz")
    assert error(read, expected) < TOLERANCE
    perturbed = outputs(folder / f"{name}_{reader}_by_{reader}_perturbed.npz")
    assert error(perturbed, expected) > TOLERANCE


@pytest.mark.parametrize("writer", ("jax", "torch"))
def test_the_command_exports_files_of_other_backends(writer, folder, tmp_path):
    path = folder / f"trained_{writer}.keras"
    arguments = ["export", str(path), "--output", str(tmp_path / "out")]
    assert main([*arguments, "--format", "onnx"]) == 0
    run = load_artifact(tmp_path / "out/model.onnx")
    images = random_images((3, 12, 12, 1), seed=7)
    expected = outputs(folder / f"trained_{writer}_by_{writer}.npz")
    assert error(run(images).values(), expected) < TOLERANCE
    assert error(run(images * 1.01).values(), expected) > TOLERANCE


EXPORT = """
import sys
import keras
import pytest
from keras_inception_export import RequestError, export_model
from keras_inception_layers import ConvBN, InceptionV1Block
from tests.helpers.faulty_layers import Forgetful
from tests.helpers.numeric import randomize

model = keras.Sequential(
    [
        keras.Input((12, 12, 3), name="image"),
        ConvBN(4, 3),
        InceptionV1Block(((2,), (3, 4), (2, 3), (2,))),
        keras.layers.GlobalMaxPooling2D(),
    ]
)
steps = []
report = export_model(
    randomize(model), sys.argv[1], formats=["onnx"], progress=steps.append
)
assert report["passed"] and report["model"]["backend"] == "tensorflow"
assert report["model"]["keras_path"] is None
assert steps[-1] == "Verify  onnx"

if keras.backend.backend() == "torch":  # alike under the others
    model = keras.Sequential([keras.Input((8,)), Forgetful(3.0)])
    with pytest.raises(RequestError, match="else than the given model"):
        export_model(model, sys.argv[1] + "2", formats=["onnx"])
"""


@pytest.mark.parametrize("backend", ("jax", "torch"))
def test_export_model_runs_under_other_backends(backend, tmp_path):
    finish(start(backend, "-c", EXPORT, tmp_path / "out"))
    assert verify(tmp_path / "out")[0].passed
