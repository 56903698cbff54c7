"""Run a TFLite file once; the target of a child process.

Some kernels of LiteRT abort the process instead of raising an exception.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np

from keras_inception_export.errors import ArtifactError
from keras_inception_export.formats.tflite.runtime import LiteRTRunner

_UNKNOWN_SIZE = 32


def run_once(path: str) -> dict[str, Any] | None:
    """Run a file on ones: a batch of one, 32 for every other unknown size.

    Returns:
        `None` if LiteRT has a kernel for each operator. Else the `node` that
        it refuses, the index of an operator, and the `reason`.
    """
    try:
        runner = LiteRTRunner.open(Path(path), num_threads=1)
        runner.run(
            {
                spec.name: np.ones(
                    [
                        size or (_UNKNOWN_SIZE if axis else 1)
                        for axis, size in enumerate(spec.shape)
                    ],
                    spec.dtype,
                )
                for spec in runner.inputs
            }
        )
    except (ArtifactError, RuntimeError, ValueError) as error:
        # What fails while it runs may be due to these values and sizes.
        return _refused_node(str(error))
    return None


def _refused_node(message: str) -> dict[str, Any] | None:
    found = re.search(r"Node number (\d+) \(\w+\) failed to prepare", message)
    if found is None:
        return None
    lines = message[: found.start()].strip().splitlines()
    return {"node": int(found[1]), "reason": lines[-1] if lines else message}
