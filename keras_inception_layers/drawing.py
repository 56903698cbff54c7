"""Draw a block as a picture, from its own table of branches."""

import re
from typing import Any

import keras

from keras_inception_layers.layers.composite import Composite
from keras_inception_layers.layers.conv_bn import ConvBN
from keras_inception_layers.layers.inception_block import InceptionBlock
from keras_inception_layers.layers.residual_block import ResidualBlock
from keras_inception_layers.svg import Box, Drawing, Fork, Part, render

WINDOWS = ("kernel_size", "pool_size", "output_size")
NOTES = {  # how an attribute is written, and the value that is left out
    "filters": ("{} filters", None),
    "units": ("{} units", None),
    "rate": ("rate {}", None),
    "strides": ("stride {}", "1"),
    "dilation_rate": ("dilation {}", "1"),
    "groups": ("{} groups", "1"),
}


def draw(block: keras.layers.Layer) -> str:
    """Return a picture of a block, as SVG.

    The input is at the bottom, as in the figures of the papers, and the
    parallel branches are side by side, in the order of the block's table. Each
    layer is a box with the size of its kernel or window and its number of
    filters. Strides other than 1, `"valid"` padding, and an activation
    other than relu are noted as well.

    The colors follow the page, light or dark, and can be set by the CSS
    properties `--inception-conv`, `--inception-pool`, `--inception-join` and
    `--inception-other`. A notebook shows the returned string as a picture.

    Args:
        block: a layer of this package, built or not: an `InceptionBlock` or a
            subclass of it, an auxiliary classifier, a `ConvBN`.

    Returns:
        The text of an SVG document, which can be written to a file or put into
        a page. The size of the picture follows from the block.

    Raises:
        ValueError: if `block` is not such a layer.

    Example:

    >>> svg = draw(InceptionV1Block(((64,), (96, 128), (16, 32), (32,))))
    >>> svg[:4], "128 filters" in svg
    ('<svg', True)
    """
    if not isinstance(block, Composite):
        raise ValueError(
            "`block` must be an InceptionBlock, an auxiliary classifier or a "
            "ConvBN. Of a model, draw such layers one by one: `iter_layers` "
            f"returns them. Received: block={block!r}"
        )
    parts = [Box("join", ["input"]), *_parts(block)]
    return Drawing(render(type(block).__name__, parts))


def _parts(layer: Any) -> list[Part]:
    """Return what is drawn of a layer, from its input to its output."""
    if isinstance(layer, InceptionBlock):
        return _block(layer)
    if isinstance(layer, ConvBN) or not isinstance(
        layer, (Composite, keras.Sequential)
    ):
        return [_box(layer)]
    return _chain(layer.layers)


def _chain(layers: list) -> list[Part]:
    return [part for layer in layers for part in _parts(layer)]


def _block(block: InceptionBlock) -> list[Part]:
    """Return the branches, joined, and what a residual block adds to them."""
    rows = [_chain(branch) for branch in block.branches]
    join = Box("join", ["concatenate"])
    if (count := _channels(block)) is not None:
        join = Box("join", [f"concatenate, {count} channels"])
    parts: list[Part] = [Fork(rows, join)] if len(rows) > 1 else rows[0]
    if not isinstance(block, ResidualBlock):
        return parts
    if block.residual_scale != 1:
        parts = [*parts, Box("other", [f"× {block.residual_scale:g}"])]
    parts = [Fork([[], parts], Box("join", ["add"]))]
    if (activation := _name(block.output_activation)) != "linear":
        parts.append(Box("other", [activation]))
    return parts


def _channels(layer: Any) -> int | None:
    """Return the number of output channels, if filters alone determine it."""
    if isinstance(layer, InceptionBlock):
        counts = [_channels(branch[-1]) for branch in layer.branches]
        return None if None in counts else sum(filter(None, counts))
    conv = layer.conv if isinstance(layer, ConvBN) else layer
    filters = getattr(conv, "filters", None)
    return filters if isinstance(filters, int) else None


def _box(layer: Any) -> Box:
    """Return the box of a layer that is not divided further."""
    conv = layer.conv if isinstance(layer, ConvBN) else layer
    name = type(conv).__name__
    if re.search(r"\dD", name):  # MaxPooling2D: "max pooling"
        words = re.findall("[A-Z][a-z]*", re.sub(r"\dD", "", name))
        name = " ".join(words).lower()
    elif isinstance(conv, keras.layers.Activation):
        name = _name(conv.activation)
    kinds = (kind for kind in ("pool", "conv") if kind in name.lower())
    window = "".join(_text(getattr(conv, x, "")) for x in WINDOWS)
    notes = [
        form.format(text)
        for attribute, (form, usual) in NOTES.items()
        if (text := _text(getattr(conv, attribute, ""))) not in ("", usual)
    ]
    padding = _text(getattr(layer, "padding", "same"))
    if padding != "same" and (window != "1" or padding != "valid"):
        notes.append("valid" if padding == "valid" else f"padding {padding}")
    activation = _name(getattr(layer, "activation", None))
    if activation not in ("", name, "linear" if conv is layer else "relu"):
        notes.append(activation)
    if window and "×" not in window:
        window = f"{window} × {window}"
    return Box(
        next(kinds, "other"),
        [f"{window} {name}".strip(), ", ".join(notes)],
        f"{layer.name}: {type(layer).__name__}",
    )


def _text(value: Any) -> str:
    """Write a size, as one number if all its numbers are equal."""
    if not isinstance(value, (tuple, list)):
        return str(value)
    texts = [_text(x) for x in value]
    return " × ".join(texts[:1] if len({*texts}) == 1 else texts)


def _name(activation: Any) -> str:
    default = "" if activation is None else type(activation).__name__
    return str(getattr(activation, "__name__", default))
