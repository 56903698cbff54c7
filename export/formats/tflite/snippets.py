"""A program that runs a TFLite artifact without this package.

`bundle/snippets.py` fills in the names that begin with a dollar sign.
"""

from keras_inception_export.formats.snippets import python_program

PYTHON = python_program(
    package="ai-edge-litert",
    import_runtime="from ai_edge_litert.interpreter import Interpreter",
    open_artifact="run = Interpreter($file_text).get_signature_runner()",
    compute_scores="scores = run(**{$input: read(path)})[$output]",
)


def templates() -> dict[str, str]:
    """Return the program by its language."""
    return {"python": PYTHON}
