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
        feeds = {}
        for spec in runner.inputs:
            unknown = [1] + [_UNKNOWN_SIZE] * len(spec.shape[1:])
            shape = [x or y for x, y in zip(spec.shape, unknown, strict=True)]
            feeds[spec.name] = np.ones(shape, spec.dtype)
        runner.run(feeds)
    except (ArtifactError, RuntimeError, ValueError) as error:
        # What fails while it runs may be due to these values and sizes.
        message = str(error)
        kind = r"Node number (\d+) \(\w+\) failed to prepare"
        if found := re.search(kind, message):
            lines = message[: found.start()].strip().splitlines() or [message]
            return {"node": int(found[1]), "reason": lines[-1]}
    return None
