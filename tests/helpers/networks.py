"""The networks, by the names of their functions."""

import inspect
import sys

import keras_inception_layers as plugin

NETWORKS = {
    name: function
    for name in plugin.__all__
    if inspect.isfunction(function := getattr(plugin, name))
    and "include_top" in inspect.signature(function).parameters
}
# Those that follow one of several published conventions.
NETWORKS_WITH_CONVENTIONS = {
    name: function
    for name, function in NETWORKS.items()
    if "convention" in inspect.signature(function).parameters
}


def module_of(network):
    """Return the module that contains a network's tables."""
    return sys.modules[network.__module__]
