"""The shapes of each network's outputs and feature maps at several sizes.

Each network is built once, for images of unknown size.
"""

import pytest

from keras_inception_layers import extract_features
from tests.helpers.networks import NETWORKS
from tests.helpers.numeric import random_images

pytestmark = pytest.mark.one_backend

# Height and width per level, at the default size, and numbers of channels.
SIZES = {
    224: [224, 112, 56, 28, 14, 7],
    299: [None, 147, 71, 35, 17, 8],
}
CHANNELS = {
    "VGG16": (224, [64, 128, 256, 512, 512, 512]),
    "VGG16Inception": (224, [64, 128, 256, 512, 512, 512]),
    "GoogLeNet": (224, [None, 64, 192, 480, 832, 1024]),
    "InceptionV3": (299, [None, 64, 192, 288, 768, 2048]),
    "InceptionV4": (299, [None, None, None, 384, 1024, 1536]),
    "InceptionResNetV2": (299, [None, 64, 192, 320, 1088, 1536]),
}
# Smallest height and width, per convention if they have different ones, and
# the size of the feature maps of images of 75 x 107.
SMALLEST = {
    ("VGG16", None): (32, (2, 3)),
    ("VGG16Inception", None): (32, (2, 3)),
    ("GoogLeNet", "paper"): (1, (3, 4)),
    ("GoogLeNet", "torchvision"): (15, (2, 3)),
    ("InceptionV3", "paper"): (75, (1, 2)),
    ("InceptionV4", "paper"): (75, (1, 2)),
    ("InceptionResNetV2", "paper"): (75, (1, 2)),
}


@pytest.mark.parametrize(("name", "convention"), SMALLEST)
def test_shapes(name, convention):
    network = NETWORKS[name]
    options = {"include_top": False, "pooling": None}
    if convention:
        options["convention"] = convention
    model = network(**options, input_shape=(None, None, 1))
    size, channels = CHANNELS[name]
    maps = extract_features(model).compute_output_shape((1, size, size, 1))
    assert {level: shape[1:] for level, shape in maps.items()} == {
        f"P{level}": (n, n, depth)
        for level, (n, depth) in enumerate(
            zip(SIZES[size], channels, strict=True)
        )
        if depth
    }
    smallest, grid = SMALLEST[name, convention]
    shape = model.compute_output_shape((None, None, 107, 1))
    assert shape == (None, None, grid[1], channels[-1])
    shape = model.compute_output_shape((None, 75, 107, 1))
    assert shape == (None, *grid, channels[-1])
    images = random_images((1, smallest, smallest, 1))
    assert model(images).shape == (1, 1, 1, channels[-1])
    # One pixel less is rejected, and would leave an empty feature map.
    shape = (smallest, smallest - 1, 1)
    with pytest.raises(ValueError, match=rf"width at least {smallest}\b"):
        network(**options, input_shape=shape)
    if smallest > 1:
        with pytest.raises(ValueError, match="zero or negative"):
            model.compute_output_shape((1, *shape))
