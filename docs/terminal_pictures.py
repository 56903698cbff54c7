"""Draw what the command shows on a terminal: `docs/terminal_*.svg`.

Run from the repository's root: `python -m docs.terminal_pictures`.
"""

import io
import os
import re
import tempfile
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.text import Text

from tests.helpers.terminal import run_on_terminal

FOLDER = Path(__file__).parent
COLUMNS = 84
PICTURES = {
    "export": (
        ["export", "digits.keras", "--output", "digits"],
        r"Write +tflite +\S*[\d.]+ s",
    ),
    "mistake": (["export", "digits.keras", "--ouput", "digits"], r".*"),
    "predict": (
        ["predict", "digits", "digits.npy", "--output", "digits.csv"],
        r"samples/s +\x1b\[2m[\d.]+ s",
    ),
}
"""Per picture, a command, and a pattern of what is shown at its end."""


def draw(name, words, end):
    """Write one picture."""
    _, shown = run_on_terminal(words, columns=COLUMNS, COLORTERM="truecolor")
    if name != "mistake":
        moments = list(re.finditer(end, shown))
        shown = shown[: moments[len(moments) // 2].end()]
    lines = [
        re.split(r"\r(?:\x1b\[2K)?", line.rstrip("\r"))[-1]
        for line in f"$ keras-inception {' '.join(words)}\n{shown}".split("\n")
    ]
    console = Console(
        record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True
    )
    for line in lines:
        console.print(Text.from_ansi(line), soft_wrap=True)
    picture = console.export_svg(title="keras-inception", unique_id=name)
    # The font of the terminal instead of one from the network.
    picture = re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL)
    (FOLDER / f"terminal_{name}.svg").write_text(picture)


def main():
    """Write the pictures."""
    import keras

    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        keras.utils.set_random_seed(0)
        model = keras.Sequential(
            [
                keras.Input((8, 8, 1), name="image"),
                keras.layers.Conv2D(16, 3, activation="relu", name="conv"),
                keras.layers.GlobalAveragePooling2D(name="pool"),
                keras.layers.Dense(10, activation="softmax", name="digit"),
            ],
            name="digits",
        )
        model.save("digits.keras")
        np.save("digits.npy", np.random.rand(200_000, 8, 8, 1).astype("f4"))
        for name, (words, end) in PICTURES.items():
            draw(name, words, end)
        os.chdir(FOLDER)


if __name__ == "__main__":
    main()
