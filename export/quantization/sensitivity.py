"""Measure the error that each layer causes alone in int8."""

from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np

from keras_inception_export.bundle.artifact import load_artifact
from keras_inception_export.data.batching import run
from keras_inception_export.formats.format import Quantizer
from keras_inception_export.formats.schemes import PREPARED_SCHEME
from keras_inception_export.logs import logger
from keras_inception_export.quantization.metrics import Outputs, measure


def layer_snr(
    quantizer: Quantizer, path: Path, samples: Mapping[str, np.ndarray]
) -> dict[str, float]:
    """Return the signal to noise in dB with one layer in int8, per layer.

    The outputs are compared with those of the artifact that has all layers in
    float; the value is that of the worst output.
    """
    layers = quantizer.layers

    def outputs(float_layers: Collection[str]) -> Outputs:
        quantizer.write(path, PREPARED_SCHEME, float_layers=float_layers)
        return run(load_artifact(path), samples)

    reference = outputs(set(layers))
    snr = {}
    for number, layer in enumerate(layers, start=1):
        alone = outputs(set(layers) - {layer})
        snr[layer] = min(
            record.snr_db for record in measure(alone, reference, None)
        )
        logger.info(
            "Rank  %d of %d: %s alone in int8 gives %.1f dB",
            number,
            len(layers),
            layer,
            snr[layer],
        )
    return snr
