"""A call that does not end is an error; any other returns what it returns."""

import os
import threading

import numpy as np
import onnx
import pytest
from onnx import helper

from keras_inception_export import time_limit
from keras_inception_export.bundle.artifact import load_artifact
from keras_inception_export.cli import main
from keras_inception_export.errors import ArtifactError, RequestError
from keras_inception_export.formats import format as formats


def endless_model():
    """Return a model that adds 1 to its input for ever."""
    value, number = helper.make_tensor_value_info, onnx.TensorProto
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["on"]),
            helper.make_node("Add", ["x", "one"], ["more"]),
        ],
        "body",
        [
            value("i", number.INT64, []),
            value("go", number.BOOL, []),
            value("x", number.FLOAT, [None]),
        ],
        [value("on", number.BOOL, []), value("more", number.FLOAT, [None])],
        [helper.make_tensor("one", number.FLOAT, [1], [1.0])],
    )
    graph = helper.make_graph(
        [helper.make_node("Loop", ["", "true", "in"], ["out"], body=body)],
        "endless",
        [value("in", number.FLOAT, ["batch"])],
        [value("out", number.FLOAT, ["batch"])],
        [helper.make_tensor("true", number.BOOL, [], [True])],
    )
    opsets = [helper.make_opsetid("", 18)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


@pytest.fixture
def endless(tmp_path, monkeypatch):
    monkeypatch.setenv(time_limit.VARIABLE, "0.2")
    monkeypatch.setattr(time_limit, "PER_ROW", 0.0)
    path = tmp_path / "endless.onnx"
    onnx.save(endless_model(), path)
    return path


def test_an_endless_model_ends(endless, tmp_path, capfd):
    with pytest.raises(ArtifactError, match=r"endless.onnx did not end within"):
        load_artifact(endless)(np.zeros(2, "float32"))
    np.save(tmp_path / "x.npy", np.zeros(2, "float32"))
    assert main(["predict", str(endless), str(tmp_path / "x.npy")]) == 1
    assert "did not end within 0.2 s" in capfd.readouterr().err


def test_opening_has_a_limit_too(endless, monkeypatch):
    never = threading.Event()
    record = formats.Format(
        "never", "x", print, lambda *_: never.wait(), print, print
    )
    with pytest.raises(ArtifactError, match="^opening .* did not end"):
        record.open(endless)
    never.set()


def test_a_call_returns_or_raises():
    assert time_limit.within(9, "adding", sum, [1, 2]) == 3
    assert time_limit.within(9, "nothing", lambda: None) is None
    with pytest.raises(ZeroDivisionError):
        time_limit.within(9, "dividing", lambda: 1 / 0)


@pytest.mark.parametrize("text", ["0", "-1", "nan", "ten", "", "inf"])
def test_a_wrong_limit(text, monkeypatch):
    monkeypatch.setitem(os.environ, time_limit.VARIABLE, text)
    with pytest.raises(RequestError, match=f"{time_limit.VARIABLE} is "):
        time_limit.limit()


def test_the_limit_grows_with_size_and_samples(monkeypatch):
    monkeypatch.delenv(time_limit.VARIABLE, raising=False)
    assert time_limit.limit() == time_limit.SECONDS
    assert time_limit.limit(10**9, 10) == time_limit.SECONDS + 130
