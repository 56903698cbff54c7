"""Every network of the plugin: known to the command, verified as exported."""

import inspect

import pytest

import keras_inception_layers as plugin
from keras_inception_export import export_model
from keras_inception_export.formats.registry import DEFAULT_FORMATS
from keras_inception_export.model.networks import NETWORKS
from tests.helpers.numeric import random_images, randomize, settle_statistics

EXPORTED = {
    name: function
    for name in plugin.__all__
    if inspect.isfunction(function := getattr(plugin, name))
    and "weights" in inspect.signature(function).parameters
}


def test_the_command_knows_every_network():
    assert NETWORKS == {
        inspect.signature(function).parameters["name"].default: name
        for name, function in EXPORTED.items()
    }


@pytest.mark.slow
def test_a_deep_network_is_verified(tmp_path):
    """At its smallest size, without the top: each layer of it counts.

    The blocks of all are exported by `test_every_registered_layer_is_verified`.
    """
    shape = (75, 75, 1)
    model = randomize(
        plugin.InceptionV3(include_top=False, input_shape=shape, pooling="avg")
    )
    settle_statistics(model, random_images((8, *shape)))
    report = export_model(model, tmp_path / "out")
    assert all(artifact["passed"] for artifact in report["artifacts"])
    found = [x["format"] for x in report["artifacts"]]
    assert found == list(DEFAULT_FORMATS)
