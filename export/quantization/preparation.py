"""Prepare a model for int8, once for all formats.

Channels are equalized and kernels are rounded. Both change the int8 artifact's
accuracy only, not its size or speed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from keras_inception_export.errors import ConversionError
from keras_inception_export.logs import logger
from keras_inception_export.model.inference_model import InferenceModel
from keras_inception_export.quantization.equalization import equalize
from keras_inception_export.quantization.gptq import round_kernels


@dataclass(frozen=True)
class PreparedModel:
    """A model to quantize.

    Args:
        inference_model: computes what the float model computes, bit for bit.
        kernels: the integers that kernels are rounded to, keyed by the path
            of the Keras variable, with its order of axes. Kernels that are
            missing are rounded to the nearest integers. Defaults to none.
        channels: the number of scaled channels. Defaults to `0`.
    """

    inference_model: InferenceModel
    kernels: Mapping[str, np.ndarray] = field(default_factory=dict)
    channels: int = 0


def prepare_int8(
    inference_model: InferenceModel,
    calibration: Mapping[str, np.ndarray],
    workdir: Path,
    opset: int = 18,
) -> PreparedModel:
    """Equalize channels and round kernels, in a copy.

    Where ONNX, in which the layers are found, cannot express the model,
    neither is done and a warning is logged.
    """
    try:
        logger.info("Equalize  channels")
        equalized, channels = equalize(
            inference_model, calibration, workdir, opset
        )
        logger.info("Round  kernels")
        kernels = round_kernels(equalized, calibration, workdir, opset)
    except ConversionError as error:
        logger.info(
            "Warning  channels are not equalized, and kernels are rounded to "
            "the nearest: both need ONNX: %s",
            error,
        )
        return PreparedModel(inference_model)
    return PreparedModel(equalized, kernels, channels)
