"""The program in Python that runs an artifact without this package.

`bundle/snippets.py` fills in the names that begin with a dollar sign, after
each format has filled in how its runtime is used.
"""

from string import Template

PYTHON = '''"""Run $file on images: pip install $package numpy pillow

    python predict.py photo.jpg
"""

import sys

import numpy as np
$import_runtime
from PIL import Image, ImageOps

LABELS = $labels


def read(path):
    """Return an image as a batch: $dtype, $shape."""
$read
    batch = np.zeros(($batch, *values.shape), "$dtype")
    batch[0] = values
    return batch


$open_artifact
for path in sys.argv[1:]:
    $compute_scores
    for index in scores[0].argsort()[::-1][:3]:
        print(path, LABELS[index], f"{scores[0][index]:.4f}")
'''


def python_program(**lines: str) -> str:
    """Return the program for one runtime: which package, and how it is used."""
    return Template(PYTHON).safe_substitute(lines)
