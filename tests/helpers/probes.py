"""Probes of one output, for tests that need no model."""

import numpy as np

from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.verification.probes import Probes

SPEC = TensorSpec("y", (None, 4), "float32")
GENERATOR = np.random.default_rng(0)
REFERENCE = GENERATOR.normal(size=(30, 4))


def probes(reference=REFERENCE, error=1e-7, regime="expected", keras=None):
    """Return probes of one batch, on which Keras has a relative error."""
    if keras is None:
        keras = reference * (1 + error)
    return Probes(({},), ({"y": reference},), ({"y": keras},), (regime,))


def joined(*parts):
    names = ("feeds", "reference", "keras", "regimes")
    return Probes(*(sum((getattr(p, n) for p in parts), ()) for n in names))
