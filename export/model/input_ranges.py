"""stub"""

import numpy as np

from keras_inception_export.data.domain import Domain
from keras_inception_export.model.inference_model import InferenceModel
from keras_inception_export.model.reference import input_range, vocabulary_size


def input_domains(model):
    found = {}
    for spec in InferenceModel.of(model).inputs:
        if spec.dtype == "bool":
            found[spec.name] = Domain(np.array(0), np.array(1), True, True)
        elif spec.dtype.startswith("float"):
            low, high = input_range(model)
            found[spec.name] = Domain(np.array(low), np.array(high))
        elif spec.dtype == "uint8":
            found[spec.name] = Domain(np.array(0), np.array(255), True, True)
        else:
            vocab = vocabulary_size(model)
            found[spec.name] = Domain(
                np.array(0), np.array(vocab - 1), True, True
            )
    return found
