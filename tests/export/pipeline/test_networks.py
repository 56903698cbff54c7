"""Every network of the plugin: known to the command, verified as exported."""

import inspect
import sys

import pytest

import keras_inception_layers as plugin
from keras_inception_export import export_model
from keras_inception_export.cli import main
from keras_inception_export.formats.registry import DEFAULT_FORMATS
from keras_inception_export.model.networks import NETWORKS
from tests.helpers.numeric import random_images, randomize, settle_statistics

EXPORTED = {
    name: function
    for name in plugin.__all__
    if inspect.isfunction(function := getattr(plugin, name))
    and "weights" in inspect.signature(function).parameters
}
VERIFIED = {"GoogLeNet": "onnx", "InceptionV3": DEFAULT_FORMATS}
"""The blocks of all are exported in every format by
`test_every_registered_layer_is_verified`, the hybrid by the README."""


def test_the_command_knows_every_network():
    assert NETWORKS == {
        inspect.signature(function).parameters["name"].default: name
        for name, function in EXPORTED.items()
    }


def test_help_names_every_network(capsys):
    with pytest.raises(SystemExit):
        main(["export", "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert f"weights: {', '.join(NETWORKS)}" in shown


@pytest.mark.parametrize(
    ("name", "formats"),
    [
        pytest.param(
            *pair,
            id=pair[0],
            marks=() if pair[1] == "onnx" else pytest.mark.slow,
        )
        for pair in VERIFIED.items()
    ],
)
def test_networks_are_verified(name, formats, tmp_path):
    """On small images, without the top: each layer of it counts."""
    network = EXPORTED[name]
    size = max(32, sys.modules[network.__module__].MIN_SIZE)
    model = randomize(
        network(include_top=False, input_shape=(size, size, 1), pooling="avg")
    )
    settle_statistics(model, random_images((8, size, size, 1)))
    report = export_model(model, tmp_path / "out", formats=formats)
    assert all(artifact["passed"] for artifact in report["artifacts"])
    formats = [formats] if isinstance(formats, str) else list(formats)
    assert [x["format"] for x in report["artifacts"]] == formats
