"""An export that cannot fit is refused, with the figures."""

import resource
import zipfile
from pathlib import Path

import keras
import pytest
from keras import layers

from keras_inception_export.errors import RequestError
from keras_inception_export.options import ExportOptions
from keras_inception_export.pipeline import resources
from keras_inception_export.pipeline.resources import (
    available_memory,
    check_resources,
    parameters_in,
    release_memory,
)

GROUP = "sys/fs/cgroup"
CONTROL_GROUPS = {
    "version 2": {
        "proc/self/cgroup": "0::/a/b\n",
        f"{GROUP}/a/b/memory.max": "max\n",
        f"{GROUP}/a/memory.max": "3000\n",
        f"{GROUP}/a/memory.current": "1500\n",
        f"{GROUP}/a/memory.stat": "anon 900\ninactive_file 500\n",
    },
    "version 1": {
        "proc/self/cgroup": "4:cpu:/\n3:memory:/a\n",
        f"{GROUP}/memory/memory.limit_in_bytes": "3000\n",
        f"{GROUP}/memory/memory.usage_in_bytes": "1500\n",
        f"{GROUP}/memory/memory.stat": "total_inactive_file 500\n",
    },
    "none": {},
}


def write(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


@pytest.mark.parametrize("files", CONTROL_GROUPS.values(), ids=CONTROL_GROUPS)
def test_available_memory(files, tmp_path, monkeypatch):
    meminfo = "MemTotal: 9 kB\nMemAvailable: 5 kB\nSwapFree: 1 kB\n"
    write(tmp_path, {"proc/meminfo": meminfo, **files})
    monkeypatch.setattr(resources, "ROOT", tmp_path)
    expected = {"the machine": 6 * 1024}
    if files:
        expected["the control group's limit"] = 2000
    assert {what: size for size, what in available_memory()} == expected


@pytest.fixture
def _with(request, monkeypatch):
    memory, disk = request.param
    found = [(memory, "the machine")]
    monkeypatch.setattr(resources, "available_memory", lambda: found)
    monkeypatch.setattr(resources, "free_space", lambda output: disk)


@pytest.mark.parametrize(
    ("_with", "parameters", "arguments", "text"),
    [
        ((5e9, 5e9), 10**8, {}, None),
        ((2e9, 5e9), 10**8, {}, "of 100,000,000 parameters needs about 2.3 GB"),
        ((2e9, 5e9), 10**8, {"loaded": True}, None),
        ((5e9, 1e9), 10**8, {}, "needs about 1.2 GB on the disk of .* 1 GB"),
        ((2.5e9, 5e9), 10**8, {"quantize": "float16"}, "about 2.9 GB of mem"),
        ((0, 0), 0, {"loaded": True}, None),
        ((0, 0), 10**8, {"force": True}, None),
        ((1e12, 1e12), 6 * 10**8, {"force": True}, "a tflite file holds at mo"),
        ((1e12, 1e12), 6 * 10**8, {"formats": ["onnx", "saved_model"]}, None),
    ],
    indirect=["_with"],
)
@pytest.mark.usefixtures("_with")
def test_what_cannot_fit_is_refused(parameters, arguments, text, tmp_path):
    loaded = "loaded" in arguments
    others = {x: y for x, y in arguments.items() if x != "loaded"}
    checked = ExportOptions(output_dir=tmp_path / "out", **others)
    if text is None:
        check_resources(parameters, checked, loaded=loaded)
    else:
        with pytest.raises(RequestError, match=text):
            check_resources(parameters, checked, loaded=loaded)


def test_parameters_in_a_file(tmp_path, monkeypatch):
    model = keras.Sequential([layers.Input((4,)), layers.Dense(3)])
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    model.save(tmp_path / "a.keras")
    (tmp_path / "b.keras").write_bytes(b"no model")
    monkeypatch.delattr(zipfile.ZipExtFile, "read")  # it reads what it skips
    assert parameters_in(tmp_path / "a.keras") == model.count_params() == 15
    assert parameters_in(tmp_path / "b.keras") == 0
    with pytest.raises(RequestError, match="does not exist"):
        parameters_in(tmp_path / "c.keras")


def resident():
    """Return the memory of this process in bytes; Linux has the file."""
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * resource.getpagesize()


def test_memory_that_is_not_used_is_returned():
    parts = [bytes(2000) for _ in range(50_000)]
    last = parts.pop()  # the parts before it are freed, but are kept
    before = resident()
    parts.clear()
    release_memory()
    assert resident() < before - 80e6 and not any(last)
