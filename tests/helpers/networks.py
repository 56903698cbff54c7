"""The networks that follow one of several published conventions."""

import inspect

import keras_inception_layers as plugin

# From the function's name to the function.
NETWORKS_WITH_CONVENTIONS = {
    name: function
    for name in plugin.__all__
    if inspect.isfunction(function := getattr(plugin, name))
    and "convention" in inspect.signature(function).parameters
}
