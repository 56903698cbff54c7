"""Reports of bundles, with no more than what they must have."""

TENSOR = {"name": "x", "shape": [None, 3], "dtype": "float32"}
PARITY = {"output": "x", "max_error": 0.0, "tolerance": 2e-6, "passed": True}


def make_artifact(**changes):
    """Return the entry of an artifact."""
    return {
        "format": "onnx",
        "path": "model.onnx",
        "sha256": "0" * 64,
        "bytes": 1,
        "inputs": [TENSOR],
        "outputs": [TENSOR],
        "parity": [PARITY],
        "measured": [],
        "equalized_channels": 0,
        "float_layers": [],
        "float_cost": None,
        **changes,
    }


def make_report(*artifacts, **changes):
    """Return a report; without artifacts, of one."""
    return {
        "model": {"name": "small", "parameters": 3, "keras_path": None},
        "versions": {},
        "probes": {
            "path": "probes.npz",
            "sha256": "0" * 64,
            "regimes": {},
            "unused": {},
        },
        "coverage": {"channels": 0, "moved": 0, "dead": 0, "layers": []},
        "evaluation": None,
        "artifacts": list(artifacts) or [make_artifact()],
        **changes,
    }
