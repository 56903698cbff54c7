"""Execute the notebook of the examples, as `make notebook` does.

Its outputs are kept in the file, so that it can be read without being run.
"""

import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / "examples" / "inception.ipynb"
# What TensorFlow's C++ code logs is no output of a cell.
KERNEL_OPTIONS = ["--IPKernelApp.capture_fd_output=False"]


def read(path=NOTEBOOK):
    return nbformat.read(path, as_version=4)


def execute(notebook):
    """Replace the outputs of all cells, by running them in an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        NotebookClient(
            notebook,
            timeout=600,
            kernel_name="python3",
            extra_arguments=KERNEL_OPTIONS,
            record_timing=False,
            coalesce_streams=True,
            resources={"metadata": {"path": folder}},
        ).execute()
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
        for output in cell.get("outputs", ()):
            if "image/png" in output.get("data", ()):
                output.data.pop("image/jpeg", None)
    notebook.metadata = {
        "kernelspec": {
            "display_name": "Python 3",
            "language": "python",
            "name": "python3",
        },
        "language_info": {"name": "python"},
    }
    return notebook


if __name__ == "__main__":
    nbformat.write(execute(read()), NOTEBOOK)
