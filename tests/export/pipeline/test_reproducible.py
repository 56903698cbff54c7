"""Two exports of one model have the same bytes, in other processes too."""

import json
import os
import sys

import keras
import pytest
from keras import layers

from keras_inception_export.bundle.bundle import REPORT
from tests.helpers.commands import run


def model():
    """A model with variables of several kinds, and two outputs."""
    scalars, steps = keras.Input((6,), name="scalars"), keras.Input((4, 3))
    joined = layers.Concatenate()(
        [
            layers.Dense(3)(scalars),
            layers.LSTM(4)(steps),
            layers.Bidirectional(layers.GRU(2))(steps),
        ]
    )
    outputs = layers.Dense(2)(joined), layers.BatchNormalization()(joined)
    return keras.Model([scalars, steps], outputs)


@pytest.mark.slow
def test_does_not_depend_on_hash_seeds(tmp_path):
    model().save(tmp_path / "model.keras")
    bundles = []
    for seed in ("1", "2"):
        folder = tmp_path / seed
        command = (sys.executable, "-m", "keras_inception_export", "export")
        done = run(
            command,
            tmp_path / "model.keras",
            "--output",
            folder,
            "--format",
            "saved_model",
            env={**os.environ, "PYTHONHASHSEED": seed},
        )
        assert done.returncode == 0, done.stderr
        report = json.loads((folder / REPORT).read_text())
        for artifact in report["artifacts"]:
            del artifact["seconds"]
        files = {
            str(path.relative_to(folder)): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file() and path.name != REPORT
        }
        bundles.append((report, files))
    (report, files), (other_report, other_files) = bundles
    assert report == other_report
    assert files.keys() == other_files.keys()
    assert [x for x in files if files[x] != other_files[x]] == []
