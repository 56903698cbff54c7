"""Load weights of other implementations, one module per source."""

from keras_inception_layers.porting.keras_applications import (
    port_keras_applications_weights,
)
from keras_inception_layers.porting.notebook import port_notebook_weights
from keras_inception_layers.porting.torch import port_torch_weights
from keras_inception_layers.porting.vgg16 import port_vgg16_weights

__all__ = [
    "port_keras_applications_weights",
    "port_notebook_weights",
    "port_torch_weights",
    "port_vgg16_weights",
]
