"""What a child process answers its parent: a JSON object a line."""

import json
import os
import sys
from collections.abc import Callable

from keras_inception_export import errors


def answering() -> Callable[..., None]:
    """Return the function by which this child answers.

    Standard output is kept for it; libraries print to the error output.
    """
    sys.stdout.flush()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(**facts):
        print(json.dumps(facts), file=answers, flush=True)

    return answer


def failure(error: errors.ExportError) -> dict[str, str]:
    """Return the answer that `answered` raises again."""
    return {"error": type(error).__name__, "message": str(error)}


def answered(line: str) -> dict:
    """Return a child's answer.

    Raises:
        ExportError: if that is its answer.
    """
    facts = json.loads(line)
    if "error" in facts:
        raise getattr(errors, facts["error"])(facts["message"])
    return facts
