"""A pipe or a device is refused: reading it may never end."""

import os
from pathlib import Path

import pytest

from keras_inception_export.bundle.artifact import load_artifact
from keras_inception_export.bundle.info import describe
from keras_inception_export.data.reading import reading
from keras_inception_export.data.samples import load_samples
from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.errors import RequestError
from keras_inception_export.model.loading import load_model
from keras_inception_export.pipeline.resources import parameters_in

SPECS = (TensorSpec("image", (None, 2, 2, 1), "float32"),)


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("model.keras", load_model),
        ("model.keras", describe),
        ("model.keras", parameters_in),
        ("model.onnx", describe),
        ("model.tflite", load_artifact),
        ("samples.npy", lambda path: load_samples(path, SPECS)),
        ("photo.png", lambda path: load_samples(path, SPECS)),
    ],
)
def test_a_pipe_is_refused(name, read, tmp_path):
    os.mkfifo(tmp_path / name)
    with pytest.raises(RequestError, match=f"{name} is a pipe, a socket or"):
        read(tmp_path / name)
    with pytest.raises(RequestError, match="none does not exist"):
        read(Path("none"))


def test_a_file_that_may_not_be_read_is_not_damaged():
    error = PermissionError(13, "Permission denied", "a/x.npz")
    with pytest.raises(RequestError, match=r"x\.npz cannot be read: Perm"):
        with reading("a"):
            raise error


def test_a_device_is_refused():
    with pytest.raises(RequestError, match="/dev/zero is a pipe, a socket or"):
        load_model("/dev/zero")


def test_the_limit_of_open_files_is_no_fault_of_the_file():
    message = r"^a cannot be read: the limit of open files is reached \(Too"
    with pytest.raises(RequestError, match=message):
        with reading("a", error=RequestError):
            raise OSError(24, "Too many open files", "a/codec.py")
