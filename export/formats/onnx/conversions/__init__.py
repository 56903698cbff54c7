"""How TensorFlow operations that tf2onnx gets wrong become ONNX nodes.

One entry per TensorFlow operation. An entry replaces the conversion of tf2onnx,
or changes the node and leaves the rest to it. Everything that is not in the
table is converted by tf2onnx.
"""

from keras_inception_export.formats.onnx.conversions.arithmetic import (
    ARITHMETIC,
)
from keras_inception_export.formats.onnx.conversions.convolutions import (
    CONVOLUTIONS,
)
from keras_inception_export.formats.onnx.conversions.rewriting import Conversion

CONVERSIONS: dict[str, Conversion] = {**ARITHMETIC, **CONVOLUTIONS}
