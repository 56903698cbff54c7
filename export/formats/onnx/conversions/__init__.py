"""How TensorFlow operations that tf2onnx gets wrong become ONNX nodes.

One entry per TensorFlow operation. An entry replaces the conversion of tf2onnx,
or changes the node and leaves the rest to it. Everything that is not in the
tables is converted by tf2onnx. An entry that leaves its node unchanged has it
reported as an operation that ONNX cannot express.
"""

from keras_inception_export.formats.onnx.conversions.categories import (
    CATEGORIES,
)
from keras_inception_export.formats.onnx.conversions.convolutions import (
    CONVOLUTIONS,
)
from keras_inception_export.formats.onnx.conversions.integers import INTEGERS
from keras_inception_export.formats.onnx.conversions.linear import (
    LINEAR,
    RESIZES,
)
from keras_inception_export.formats.onnx.conversions.reals import REALS
from keras_inception_export.formats.onnx.conversions.rewriting import Conversion

CONVERSIONS: dict[str, Conversion] = {
    **CATEGORIES,
    **CONVOLUTIONS,
    **INTEGERS,
    **LINEAR,
    **REALS,
}

CONDITIONS = dict.fromkeys(RESIZES, " of unknown size")
"""When an operation of the tables cannot be converted, for messages."""
