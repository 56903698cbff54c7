"""Pictures of blocks, drawn while the site is built.

The paragraph `{draw} InceptionV1Block(((64,), (96, 128), (16, 32), (32,)))`, in
backquotes, becomes the picture of that block.
"""

import re

PICTURE = re.compile(r"^`\{draw\} (.+?)`$", re.MULTILINE | re.DOTALL)


def on_page_markdown(markdown, **kwargs):
    """Replace the paragraphs that ask for a picture."""
    return PICTURE.sub(lambda match: picture(match[1]), markdown)


def on_post_page(output, **kwargs):
    """Give the theme's dialog a name for screen readers."""
    search = 'data-md-component="search" role="dialog"'
    assert search in output
    return output.replace(search, f'{search} aria-label="Search"')


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
