"""One process of TFLite's converter for the conversions of several tests."""

import contextlib
import functools

import pytest

from keras_inception_export.child_process import ChildProcess
from keras_inception_export.formats.tflite import export
from keras_inception_export.formats.tflite.quantize import quantizer


@contextlib.contextmanager
def shared_converter():
    """Keep each child process for later calls: one takes 3 s to start."""
    start = functools.cache(ChildProcess)

    def call(target, function, **arguments):
        return start(target).call(function, **arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "run_in_child", call)
        patch.setattr(quantizer, "run_in_child", call)
        patch.setattr(quantizer, "ChildProcess", start)
        yield
