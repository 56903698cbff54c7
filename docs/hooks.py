"""Pictures of blocks and the help of commands, made while the site is built.

The paragraph `{draw} InceptionV1Block(((64,), (96, 128), (16, 32), (32,)))`, in
backquotes, becomes the picture of that block, and `{help} export` the help of
that command.
"""

import os
import re
import subprocess
import sys

PICTURE = re.compile(r"^`\{draw\} (.+?)`$", re.MULTILINE | re.DOTALL)
HELP = re.compile(r"^`\{help\} (\w+)`$", re.MULTILINE)
FOR_TESTS = re.compile(r'^(```\w+) title="(?:Not run|Counted)[^"\n]*"$', re.M)
"""Titles of code blocks that only tell the tests what to do."""


def on_page_markdown(markdown, **kwargs):
    """Replace the paragraphs that ask for a picture or for help."""
    markdown = FOR_TESTS.sub(r"\1", markdown)
    markdown = PICTURE.sub(lambda match: picture(match[1]), markdown)
    return HELP.sub(lambda match: command_help(match[1]), markdown)


def on_post_page(output, **kwargs):
    """Give the theme's dialog a name for screen readers."""
    search = 'data-md-component="search" role="dialog"'
    if search not in output:
        raise ValueError("the theme has another dialog: change this hook")
    return output.replace(search, f'{search} aria-label="Search"')


def command_help(command):
    """Return what a command shows with `--help`, as a block of text."""
    done = subprocess.run(
        [sys.executable, "-m", "keras_inception_export", command, "--help"],
        env=os.environ | {"COLUMNS": "80", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return f"```text\n{done.stdout}```"


def picture(code):
    """Return a figure of the block that is the value of an expression."""
    import keras

    import keras_inception_layers

    names = {"keras": keras, **vars(keras_inception_layers)}
    svg = keras_inception_layers.draw(eval(code, names))  # our own pages
    caption = " ".join(code.split())
    one_line = " ".join(str(svg).split())
    name = caption.split("(")[0]
    return (
        f'<figure class="block" tabindex="0" aria-label="{name}">'
        f"{one_line}<figcaption><code>{caption}</code></figcaption></figure>"
    )
