"""One process of TFLite's converter for the conversions of all tests."""

import contextlib
import functools

import pytest

from keras_inception_export.child_process import ChildProcess
from keras_inception_export.formats.tflite import export
from keras_inception_export.formats.tflite.quantize import quantizer
from keras_inception_export.pipeline import export_model


@contextlib.contextmanager
def shared_converter():
    """Keep each child process for later calls: one takes 3 s to start."""
    start = functools.cache(ChildProcess)

    def call(target, function, **arguments):
        try:
            return start(target).call(function, **arguments)
        except RuntimeError:  # the process may have ended
            start.cache_clear()
            raise

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            export_model, "started_ahead", lambda _: contextlib.nullcontext()
        )
        patch.setattr(export, "run_in_child", call)
        patch.setattr(quantizer, "run_in_child", call)
        patch.setattr(quantizer, "ChildProcess", start)
        yield
