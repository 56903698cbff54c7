"""Two processes write the same bytes, and none uses the network."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from keras_inception_export.bundle.bundle import REPORT
from tests.helpers import repeated_exports
from tests.helpers.commands import run

# Python imports it at the start, in child processes too.
SITE_CUSTOMIZE = """
import os, sys

def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo"):
        if isinstance(arguments[-1], str | bytes):  # in the file system
            return
        with open(os.environ["CONNECTIONS"], "a") as file:
            print(event, arguments[1:], file=file)
        raise OSError("the network is off")

sys.addaudithook(refuse)
"""


def content(folder):
    """Return the bytes of each file, without the times in the report."""
    report = json.loads((folder / "bundle" / REPORT).read_text())
    for artifact in report["artifacts"]:
        del artifact["seconds"]
    files = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != REPORT
    }
    return {**files, REPORT: report}


@pytest.mark.slow
def test_neither_hash_seed_nor_network_matters(tmp_path, monkeypatch):
    repeated_exports.model().save(tmp_path / "model.keras")
    np.save(tmp_path / "x.npy", np.ones((3, 4, 3), "float32"))
    (tmp_path / "site").mkdir()
    (tmp_path / "site/sitecustomize.py").write_text(SITE_CUSTOMIZE)
    monkeypatch.setenv("CONNECTIONS", str(tmp_path / "connections"))
    paths = str(tmp_path / "site"), *filter(None, sys.path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    found = []
    for seed, inputs in (("1", [tmp_path / "x.npy"]), ("2", [])):
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        (tmp_path / seed).mkdir()
        done = run(
            (sys.executable, "-m", repeated_exports.__name__),
            *(tmp_path / "model.keras", tmp_path / seed, *inputs),
            cwd=Path(__file__).parents[3],
        )
        assert done.returncode == 0, done.stderr
        found.append(content(tmp_path / seed))
    assert not (tmp_path / "connections").exists()
    urlopen = "import urllib.request as u; u.urlopen('http://localhost:9')"
    assert "network is off" in run((sys.executable, "-c", urlopen)).stderr
    assert "getaddrinfo" in (tmp_path / "connections").read_text()

    first, second = found
    assert first.keys() == second.keys()
    assert [x for x in first if first[x] != second[x]] == []
    assert {"bundle/model.tflite", "model.int8.onnx"} < first.keys()
