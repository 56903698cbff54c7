"""The export of a file, in a process that runs TensorFlow.

Started by `elsewhere`, for a caller on another backend.
"""

import functools
import json
import sys

from keras_inception_export.answering import answering, failure
from keras_inception_export.errors import ExportError
from keras_inception_export.pipeline import export_model
from keras_inception_export.prepare import import_modules, load_model


def main() -> None:
    """Do the job in argv: answer with each step, then with the report."""
    answer = answering()
    job = json.loads(sys.argv[1])
    model = job["path"]
    if job["live"]:  # the file is gone afterwards, so no report names it
        model = functools.partial(load_model, model)
    try:
        import_modules(job["modules"])
        report = export_model(
            model,
            progress=lambda line: answer(step=line),
            **job["options"],
        )
    except ExportError as error:
        answer(**failure(error))
    else:
        answer(report=report)


if __name__ == "__main__":
    main()
