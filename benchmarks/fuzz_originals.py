"""The files that `fuzz_readers.py` changes."""

import io
import json
import shutil
import tarfile
import tempfile
from pathlib import Path

import numpy as np

BUNDLE = Path(__file__).parents[1] / "tests/data/0.1.0/bundle"


def image(suffix):
    """Return the content of an image."""
    from PIL import Image

    content = io.BytesIO()
    pixels = np.arange(192, dtype="uint8").reshape(8, 8, 3)
    Image.fromarray(pixels).save(content, suffix)
    return content.getvalue()


def npy():
    """Return the content of a `.npy` file."""
    content = io.BytesIO()
    np.save(content, np.zeros((2, 8, 8, 3), "f4"))
    return content.getvalue()


def tar():
    """Return the content of a tar archive of images with labels."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for name, part in (
            *(("a.png", image("png")), ("a.cls", b"1")),
            *(("b.jpg", image("jpeg")), ("b.json", b'{"label": 2}')),
        ):
            info = tarfile.TarInfo(name)
            info.size = len(part)
            archive.addfile(info, io.BytesIO(part))
    return content.getvalue()


def parquet():
    """Return the content of a Parquet file of images with labels."""
    import pyarrow.parquet

    content, images = io.BytesIO(), [image("png"), image("jpeg")]
    table = pyarrow.table({"image": images, "label": [0, 1]})
    pyarrow.parquet.write_table(table, content)
    return content.getvalue()


FOLDER = Path(tempfile.gettempdir()) / "fuzz_readers"
"""What every case starts from: a bundle, two models and samples."""


def write_originals():
    """Write `FOLDER`: the stored bundle, with an artifact of OpenVINO."""
    import keras
    import openvino

    import keras_inception_layers  # noqa: F401 - its layers are registered

    shutil.copytree(BUNDLE, FOLDER, dirs_exist_ok=True)
    shutil.copy(BUNDLE.parent / "model.keras", FOLDER)
    model = keras.models.load_model(FOLDER / "model.keras")
    model.save(FOLDER / "model.h5")
    model = openvino.convert_model(FOLDER / "model.onnx")
    openvino.save_model(model, FOLDER / "model.xml", compress_to_fp16=False)
    path = FOLDER / "report.json"
    report = json.loads(path.read_text())
    entry = next(x for x in report["artifacts"] if x["format"] == "onnx")
    entry = {**entry, "format": "openvino", "path": "model.xml"}
    report["artifacts"].append(entry)
    path.write_text(json.dumps(report))
    np.save(FOLDER / "samples.npy", np.zeros((1, 8, 8, 3), "f4"))
