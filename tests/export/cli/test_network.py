"""No command uses the network."""

import sys

import keras
import numpy as np
import pytest

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
COMMANDS = """
import sys
from keras_inception_export.cli import main

folder, model, inputs = sys.argv[1:]
assert main(["export", model, "--output", folder]) == 0
assert main(["verify", folder]) == 0
assert main(["diagnose", folder]) == 0
assert main(["info", folder]) == 0
assert main(["predict", folder + "/model.onnx", inputs]) == 0
"""


@pytest.mark.slow
def test_commands_connect_to_nothing(tmp_path, monkeypatch):
    (tmp_path / "site").mkdir()
    (tmp_path / "site/sitecustomize.py").write_text(SITE_CUSTOMIZE)
    monkeypatch.setenv("CONNECTIONS", str(tmp_path / "connections"))
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setenv("PYTHONPATH", ":".join(filter(None, sys.path)))
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]).save(
        tmp_path / "model.keras"
    )
    np.save(tmp_path / "x.npy", np.ones((2, 4), "float32"))
    words = [tmp_path / x for x in ("bundle", "model.keras", "x.npy")]
    done = run((sys.executable, "-c", COMMANDS), *words)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "connections").exists()
    urlopen = "import urllib.request as u; u.urlopen('http://localhost:9')"
    assert "network is off" in run((sys.executable, "-c", urlopen)).stderr
    assert "getaddrinfo" in (tmp_path / "connections").read_text()
