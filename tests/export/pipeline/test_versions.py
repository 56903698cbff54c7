"""The versions of packages, whatever name they are installed under."""

import importlib.metadata

from keras_inception_export.pipeline.versions import versions


def test_versions_of_packages_under_other_names(monkeypatch):
    owners = {"onnxruntime": ["onnxruntime-gpu"], "keras": ["other", "keras"]}
    monkeypatch.setattr(
        importlib.metadata, "packages_distributions", lambda: owners
    )
    monkeypatch.setattr(importlib.metadata, "version", "{} 1".format)
    found = versions()
    assert found["onnxruntime"] == "onnxruntime-gpu 1"
    assert found["keras"] == "keras 1"
    assert found["tensorflow"] is None
