"""Which layers cost most in int8: each is measured alone."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from keras_inception_export.bundle.artifact import load_artifact
from keras_inception_export.data.batching import run
from keras_inception_export.logs import logger
from keras_inception_export.quantization.metrics import measure


def noise_of_layers(
    quantizer,
    path: Path,
    samples: Mapping[str, np.ndarray],
) -> dict[str, float]:
    """Return what is left of the outputs with each layer alone in int8.

    Args:
        quantizer: the `Quantizer` of any format.
        path: where its artifacts may be written, one after the other.
        samples: an array an input name.

    Returns:
        By the name of the layer, the worst output's signal to noise in dB.
    """
    layers = quantizer.layers

    def outputs(float_layers):
        quantizer.write(path, "int8", float_layers=float_layers)
        return run(load_artifact(path), samples)

    reference = outputs(set(layers))
    noise = {}
    for number, layer in enumerate(layers, start=1):
        alone = outputs(set(layers) - {layer})
        records = measure(alone, reference, None)
        noise[layer] = min(record.snr_db for record in records)
        logger.info(
            "Rank  %d of %d: %s alone in int8 gives %.1f dB",
            number,
            len(layers),
            layer,
            noise[layer],
        )
    return noise
