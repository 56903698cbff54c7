"""Weights from elsewhere, one module a source."""

from keras_inception_layers.porting.inception_resnet_v2 import (
    port_keras_inception_resnet_v2,
)
from keras_inception_layers.porting.notebook import port_notebook_weights
from keras_inception_layers.porting.timm import port_timm_weights

__all__ = [
    "port_keras_inception_resnet_v2",
    "port_notebook_weights",
    "port_timm_weights",
]
