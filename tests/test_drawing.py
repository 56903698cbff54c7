"""The picture of a block shows its table: boxes, edges, order, texts."""

from itertools import pairwise
from xml.etree import ElementTree

import keras
import pytest

from keras_inception_layers import (
    ConvBN,
    InceptionBlock,
    InceptionV3BlockB,
    InceptionV3BlockE,
    InceptionV4BlockC,
    draw,
)
from keras_inception_layers.layers.residual_block import ResidualBlock
from tests.helpers.layer_cases import CASES, descendants

SVG = "{http://www.w3.org/2000/svg}"
BLOCKS = {
    name: case for name, case in CASES.items() if not name.startswith("ConvBN")
}


class Box:
    def __init__(self, group):
        self.texts = [x.text for x in group.iter(f"{SVG}text")]
        title = group.find(f"{SVG}title")
        self.name = None if title is None else title.text.rpartition(": ")[0]
        rect = group.find(f"{SVG}rect")
        self.left, self.top, self.width, self.height = (
            float(rect.get(x)) for x in ("x", "y", "width", "height")
        )


def boxes_and_edges(svg):
    """Return the boxes by number, and the pairs of numbers of the edges."""
    root = ElementTree.fromstring(svg)
    boxes = {
        group.get("data-box"): Box(group)
        for group in root.iter(f"{SVG}g")
        if group.get("data-box")
    }
    edges = [
        (path.get("data-from"), path.get("data-to"))
        for path in root.iter(f"{SVG}path")
    ]
    return boxes, edges


def shown_paths(boxes, edges, number="0"):
    """Return the layers' names along each way from the input."""
    name = [boxes[number].name] * (boxes[number].name is not None)
    following = [end for start, end in edges if start == number]
    paths = [x for end in following for x in shown_paths(boxes, edges, end)]
    return [[*name, *path] for path in paths or [[]]]


def expected_paths(layer):
    """Return the same of a layer, from its table of branches."""
    if isinstance(layer, InceptionBlock):
        paths = [path for row in layer.branches for path in through(row)]
        return paths + [[]] * isinstance(layer, ResidualBlock)
    if isinstance(layer, ConvBN) or not hasattr(layer, "layers"):
        return [[layer.name]]
    return through(layer.layers)


def through(layers):
    paths = [[]]
    for layer in layers:
        paths = [a + b for a in paths for b in expected_paths(layer)]
    return paths


@pytest.mark.parametrize("case", BLOCKS.values(), ids=BLOCKS)
def test_boxes_and_edges_are_those_of_the_table_in_its_order(case):
    block = case.make()
    svg = draw(block)
    boxes, edges = boxes_and_edges(svg)
    assert sorted(shown_paths(boxes, edges)) == sorted(expected_paths(block))
    layers = {layer.name: layer for layer in descendants(block)}
    shown = [box for box in boxes.values() if box.name]
    assert len({box.name for box in shown}) == len(shown)
    for box in shown:
        layer = layers[box.name]
        conv = layer.conv if isinstance(layer, ConvBN) else layer
        if size := getattr(conv, "kernel_size", getattr(conv, "pool_size", 0)):
            assert box.texts[0].startswith(f"{size[0]} × {size[1]} ")
        if hasattr(conv, "filters"):
            assert box.texts[1].startswith(f"{conv.filters} filters")

    width = float(ElementTree.fromstring(svg).get("width"))
    rows = {}
    for box in boxes.values():
        assert 0 <= box.left and box.left + box.width <= width
        assert all(len(x) * 6 < box.width for x in box.texts)
        rows.setdefault(box.top, []).append(box)
    for row in rows.values():
        row.sort(key=lambda box: box.left)
        for one, other in pairwise(row):
            assert one.left + one.width < other.left
    for start, end in edges:
        assert boxes[end].top + boxes[end].height < boxes[start].top
    if isinstance(block, InceptionBlock) and len(block.branches) > 1:
        lefts = {box.name: box.left for box in boxes.values()}
        firsts = [row[0].name for row in block.branches]
        known = [lefts[name] for name in firsts if name in lefts]
        assert known == sorted(known)


# What all blocks C of Inception-ResNet v2 have, up to their sum.
BLOCK_C = [
    "input",
    "1 × 1 conv|2 filters",
    "1 × 1 conv|2 filters",
    "1 × 3 conv|3 filters",
    "3 × 1 conv|4 filters",
    "concatenate, 6 channels",
    "1 × 1 conv|3 filters, linear",
]


@pytest.mark.parametrize(
    ("block", "texts"),
    [
        (
            InceptionV3BlockB(((384,), (64, 96))),
            [
                "input",
                "3 × 3 conv|384 filters, stride 2, valid",
                "1 × 1 conv|64 filters",
                "3 × 3 conv|96 filters",
                "3 × 3 conv|96 filters, stride 2, valid",
                "3 × 3 max pooling|stride 2, valid",
                "concatenate",
            ],
        ),
        (
            CASES["InceptionResNetV2BlockC"].make(),
            [*BLOCK_C, "× 0.2", "add", "relu"],
        ),
        (
            CASES["InceptionResNetV2BlockC, the last"].make(),
            [*BLOCK_C, "add"],
        ),
        (
            CASES["AuxiliaryClassifier"].make(),
            [
                "input",
                "5 × 5 average pooling|stride 3, valid",
                "1 × 1 conv|128 filters",
                "Flatten",
                "Dense|1024 units, relu",
                "Dropout|rate 0.7",
                "Dense|5 units, softmax",
            ],
        ),
        (
            InceptionBlock(
                [
                    [
                        keras.layers.ZeroPadding2D(1),
                        keras.layers.DepthwiseConv2D(3, strides=(2, 1)),
                        keras.layers.LeakyReLU(),
                    ],
                    [
                        keras.Sequential(
                            [
                                ConvBN(8, 3, padding=2, activation="gelu"),
                                keras.layers.Activation("tanh"),
                            ]
                        ),
                        keras.layers.Conv2D(6, 3, groups=2, dilation_rate=2),
                    ],
                ]
            ),
            [
                "input",
                "zero padding|padding 1",
                "3 × 3 depthwise conv|stride 2 × 1, valid",
                "LeakyReLU",
                "3 × 3 conv|8 filters, padding 2, gelu",
                "tanh",
                "3 × 3 conv|6 filters, dilation 2, 2 groups, valid",
                "concatenate",
            ],
        ),
        (ConvBN(4, (3, 1)), ["input", "3 × 1 conv|4 filters"]),
    ],
    ids=("reduction", "residual", "not scaled", "head", "any", "unit"),
)
def test_texts(block, texts):
    boxes, _ = boxes_and_edges(draw(block))
    assert ["|".join(box.texts) for box in boxes.values()] == texts


def test_the_picture_is_the_same_when_built_and_when_made_again():
    first, second = (CASES["InceptionV4BlockC"].make() for _ in range(2))
    before = draw(first)
    first.build((None, 8, 8, 3))
    assert draw(first) == before == draw(second)


def test_channels_of_nested_branches_are_summed():
    filters = ((320,), (384, 384), (448, 384), (192,))
    block = InceptionV3BlockE(filters)
    boxes, _ = boxes_and_edges(draw(block))
    texts = [box.texts[0] for box in boxes.values()]
    assert texts.count("concatenate, 768 channels") == 2
    shape = block.compute_output_shape((None, 8, 8, 1280))
    assert texts[-1] == f"concatenate, {shape[-1]} channels"


def test_names_are_escaped():
    name = "a<b>&\"'\x01池"

    class Own(keras.layers.Layer):
        pass

    Own.__name__ = "Own<script>"
    root = ElementTree.fromstring(draw(InceptionBlock([[Own(name=name)]])))
    group = root.find(f"{SVG}g[@data-box='1']")
    shown = name.replace("\x01", "\ufffd")
    assert group.find(f"{SVG}title").text == f"{shown}: Own<script>"
    assert group.find(f"{SVG}text").text == "Own<script>"


def test_title_description_and_notebook():
    filters = ((2,), (3, 4), (2, 3, 4, 3), (2,))
    svg = draw(InceptionV4BlockC(filters))
    root = ElementTree.fromstring(svg)
    assert root[0].tag == f"{SVG}title" and root[0].text == "InceptionV4BlockC"
    assert root[1].tag == f"{SVG}desc"
    assert "4 branches (1 × 1 conv, 2 filters; 1 × 1" in root[1].text
    assert "id=" not in svg  # two pictures in one page
    assert type(svg._repr_svg_()) is str and svg._repr_svg_() == svg


@pytest.mark.parametrize(
    "block",
    [
        keras.layers.Conv2D(4, 1),
        keras.Sequential([ConvBN(4, 1)]),
        InceptionBlock,
        "InceptionV1Block",
        None,
    ],
    ids=["layer", "model", "class", "name", "none"],
)
def test_what_is_not_a_block(block):
    with pytest.raises(ValueError, match=r"`block` must .*Received: block="):
        draw(block)
