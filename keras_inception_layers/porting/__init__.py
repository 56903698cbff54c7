"""Weights from elsewhere, one module a source."""

from keras_inception_layers.porting.notebook import port_notebook_weights

__all__ = ["port_notebook_weights"]
