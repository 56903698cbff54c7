"""A program that runs a TFLite artifact without this package.

`bundle/snippets.py` fills in the names that begin with a dollar sign.
"""

PYTHON = '''"""Run $file on images: pip install ai-edge-litert numpy pillow

    python predict.py photo.jpg
"""

import sys

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image, ImageOps

LABELS = $labels


def read(path):
    """Return an image as a batch: $dtype, $shape."""
$read
    batch = np.zeros(($batch, *values.shape), "$dtype")
    batch[0] = values
    return batch


run = Interpreter($file_text).get_signature_runner()
for path in sys.argv[1:]:
    scores = run(**{$input: read(path)})[$output]
    for index in scores[0].argsort()[::-1][:3]:
        print(path, LABELS[index], f"{scores[0][index]:.4f}")
'''


def templates() -> dict[str, str]:
    """Return the program by its language."""
    return {"python": PYTHON}
