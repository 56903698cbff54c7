"""The versions of packages, whatever name they are installed under."""

import importlib.metadata

from keras_inception_export.pipeline import versions

INSTALLED = ("keras", "onnxruntime-gpu")


def test_versions_of_packages_under_other_names(monkeypatch):
    def version(name):
        if name not in INSTALLED:
            raise importlib.metadata.PackageNotFoundError(name)
        return f"{name} 1"

    owners = {"onnxruntime": ["onnxruntime-gpu"], "keras": ["other", "keras"]}
    monkeypatch.setattr(versions, "_owners", lambda: owners)
    monkeypatch.setattr(importlib.metadata, "version", version)
    found = versions.versions()
    assert found["onnxruntime"] == "onnxruntime-gpu 1"
    assert found["keras"] == "keras 1"
    assert found["tensorflow"] is None
