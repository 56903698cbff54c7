"""The command line of the exporter."""

from keras_inception_export.cli.main import main

__all__ = ["main"]
