"""The Inception family as layers of Keras 3.

Importing this package registers its layers with Keras, so that a `.keras`
file that contains them loads without `custom_objects`.
"""

from keras_inception_layers.drawing import draw
from keras_inception_layers.folding import fold_batch_norm
from keras_inception_layers.freezing import (
    freeze,
    freeze_batch_norm,
    iter_layers,
)
from keras_inception_layers.layers.auxiliary_classifier import (
    AUXILIARY_LOSS_WEIGHT,
    AuxiliaryClassifier,
    InceptionV3AuxiliaryClassifier,
)
from keras_inception_layers.layers.conv_bn import ConvBN
from keras_inception_layers.layers.inception_block import InceptionBlock
from keras_inception_layers.layers.inception_resnet_v2 import (
    InceptionResNetV2BlockA,
    InceptionResNetV2BlockB,
    InceptionResNetV2BlockC,
    InceptionResNetV2ReductionA,
    InceptionResNetV2ReductionB,
)
from keras_inception_layers.layers.inception_v1 import InceptionV1Block
from keras_inception_layers.layers.inception_v2 import InceptionV2Block
from keras_inception_layers.layers.inception_v3 import (
    InceptionV3Block,
    InceptionV3ExpandedBlock,
)
from keras_inception_layers.layers.inception_v3_stages import (
    InceptionV3BlockA,
    InceptionV3BlockB,
    InceptionV3BlockC,
    InceptionV3BlockD,
    InceptionV3BlockE,
)
from keras_inception_layers.layers.inception_v4 import (
    InceptionV4BlockA,
    InceptionV4BlockB,
    InceptionV4BlockC,
    InceptionV4ReductionA,
    InceptionV4ReductionB,
    InceptionV4Stem,
)
from keras_inception_layers.models.features import extract_features
from keras_inception_layers.models.googlenet import GoogLeNet
from keras_inception_layers.models.inception_resnet_v2 import (
    InceptionResNetV2,
)
from keras_inception_layers.models.inception_v3 import InceptionV3
from keras_inception_layers.models.inception_v4 import InceptionV4
from keras_inception_layers.models.vgg16 import VGG16
from keras_inception_layers.models.vgg16_inception import VGG16Inception
from keras_inception_layers.preprocessing import (
    decode_predictions,
    preprocess_input,
)
from keras_inception_layers.side_heads import drop_auxiliary

__all__ = [
    "AUXILIARY_LOSS_WEIGHT",
    "AuxiliaryClassifier",
    "ConvBN",
    "GoogLeNet",
    "InceptionBlock",
    "InceptionResNetV2",
    "InceptionResNetV2BlockA",
    "InceptionResNetV2BlockB",
    "InceptionResNetV2BlockC",
    "InceptionResNetV2ReductionA",
    "InceptionResNetV2ReductionB",
    "InceptionV1Block",
    "InceptionV2Block",
    "InceptionV3",
    "InceptionV3AuxiliaryClassifier",
    "InceptionV3Block",
    "InceptionV3BlockA",
    "InceptionV3BlockB",
    "InceptionV3BlockC",
    "InceptionV3BlockD",
    "InceptionV3BlockE",
    "InceptionV3ExpandedBlock",
    "InceptionV4",
    "InceptionV4BlockA",
    "InceptionV4BlockB",
    "InceptionV4BlockC",
    "InceptionV4ReductionA",
    "InceptionV4ReductionB",
    "InceptionV4Stem",
    "VGG16",
    "VGG16Inception",
    "decode_predictions",
    "draw",
    "drop_auxiliary",
    "extract_features",
    "fold_batch_norm",
    "freeze",
    "freeze_batch_norm",
    "iter_layers",
    "preprocess_input",
]
__version__ = "0.1.0"
