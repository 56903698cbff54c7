"""The package as a whole: public names, registered layers, what it imports."""

import subprocess
import sys
import tomllib
from pathlib import Path

import keras
import pytest

import keras_inception_layers
from keras_inception_layers import ConvBN
from keras_inception_layers.registration import register, registered_layers

LIST_IMPORTS = """
import sys
import keras

before = set(sys.modules)
import keras_inception_layers
print(*sorted({name.split(".")[0] for name in set(sys.modules) - before}))
"""


def test_every_registered_layer_is_public():
    assert set(registered_layers()) < set(keras_inception_layers.__all__)


def test_a_name_in_use_is_rejected():
    class Other(keras.layers.Layer):
        pass

    Other.__name__ = "ConvBN"
    with pytest.raises(ValueError, match="ConvBN` is already registered by"):
        register(Other)
    assert registered_layers()["ConvBN"] is ConvBN
    assert (
        keras.saving.get_registered_object("keras_inception_layers>ConvBN")
        is ConvBN
    )


def test_only_the_standard_library_is_imported_beside_keras():
    run = subprocess.run(
        [sys.executable, "-c", LIST_IMPORTS],
        check=True,
        capture_output=True,
        text=True,
    )
    imported = set(run.stdout.split()) - sys.stdlib_module_names
    assert imported == {"keras_inception_layers"}


def test_every_package_is_installed():
    root = Path(__file__).parents[1]
    settings = tomllib.loads((root / "pyproject.toml").read_text())
    tools = settings["tool"]["setuptools"]
    folders = {"keras_inception_layers": "keras_inception_layers"}
    folders |= tools["package-dir"]
    packages = [
        ".".join((name, *file.parent.relative_to(root / folder).parts))
        for name, folder in folders.items()
        for file in (root / folder).rglob("__init__.py")
    ]
    assert sorted(tools["packages"]) == sorted(packages)
