"""A model of a few bytes: three scores that depend on the mean of an image."""

import io
import tarfile

import numpy as np
import onnx
from PIL import Image

from keras_inception_export.data.metadata import (
    InputMetadata,
    Metadata,
    OutputMetadata,
)
from keras_inception_export.data.preprocessing import PRESETS
from keras_inception_export.formats.registry import FORMATS

WEIGHTS = np.array([[1.0, -1.0, 0.0]], "float32")
BIAS = np.array([0.0, 1.0, 0.4], "float32")
LABELS = ("bright", "dark", "grey, or\nso")


def scores(means):
    """Return the scores for the means of images, from 0 to 1."""
    return np.reshape(means, (-1, 1)) * WEIGHTS + BIAS


def write_brightness(path, *, size=(4, 4), batch="n", channels=1, known=True):
    """Write the model; it says that pixels become 0 to 1 if `known`.

    With several channels, the scores depend on their weighted sum.
    """
    height, width = size
    model = onnx.parser.parse_model(
        f"""<ir_version: 9, opset_import: ["": 17]>
        brightness (float[{batch}, {height}, {width}, {channels}] image)
            => (float[{batch}, 3] scores) {{
            m = ReduceMean<axes = [1, 2], keepdims = 0>(image)
            product = MatMul(m, weights)
            scores = Add(product, bias)
        }}"""
    )
    factors = np.arange(1, channels + 1, dtype="float32")[:, None]
    model.graph.initializer.extend(
        [
            onnx.numpy_helper.from_array(factors * WEIGHTS, "weights"),
            onnx.numpy_helper.from_array(BIAS, "bias"),
        ]
    )
    path.write_bytes(model.SerializeToString())
    if known:
        FORMATS["onnx"].write_metadata(path, metadata(size))
    return path


def metadata(size=(4, 4), preprocessing=PRESETS["unit"], channels=1):
    """Return what the model says of itself."""
    sizes = (x if isinstance(x, int) else None for x in size)
    image = InputMetadata(
        *("image", (None, *sizes, channels), "float32", "image"),
        preprocessing,
        preprocessing.range,
    )
    output = OutputMetadata(
        "scores", (None, 3), "float32", "class scores", LABELS
    )
    return Metadata("brightness", (image,), (output,))


def png(value, size=(4, 4)):
    """Return a grey PNG as bytes."""
    file = io.BytesIO()
    Image.new("L", size, int(value)).save(file, "PNG")
    return file.getvalue()


def write_images(folder, number, size=(4, 4)):
    """Write grey images in two folders; return their values by name."""
    values = {}
    for index in range(number):
        path = folder / "ab"[index % 2] / f"{index:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        values[str(path)] = index * 5 % 256
        path.write_bytes(png(values[str(path)], size))
    return dict(sorted(values.items()))


def write_tar(path, members, mode="w"):
    """Write files, by their bytes, and links, by their type and target."""
    with tarfile.open(path, mode) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
            else:
                info.type, info.linkname = content
                archive.addfile(info)
