"""What is done to a model before int8, once for every format."""

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
    """A model that int8 artifacts are written from.

    Args:
        inference_model: computes what the float model computes, to the bit.
        kernels: the integers that kernels are rounded to, by the path of the
            Keras variable and in its order of axes.
        channels: how many channels were scaled.
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

    Args:
        inference_model: the float model; it stays as it is.
        calibration: samples, one array per input name.
        workdir: a folder for temporary files.
        opset: the ONNX operator set that the model is examined in. Defaults
            to `18`.
    """
    try:
        logger.info("Equalize  channels")
        equalized, channels = equalize(
            inference_model, calibration, workdir, opset
        )
        logger.info("Round  kernels")
        kernels = round_kernels(equalized, calibration, workdir, opset)
    except ConversionError as error:
        logger.info("Warning  neither without ONNX: %s", error)
        return PreparedModel(inference_model)
    return PreparedModel(equalized, kernels, channels)
