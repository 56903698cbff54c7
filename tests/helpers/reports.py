"""Reports of bundles, with no more than what they must have."""

import json

TENSOR = {"name": "x", "shape": [None, 3], "dtype": "float32"}
PARITY = {"output": "x", "max_error": 0.0, "tolerance": 2e-6, "passed": True}


def change_report(folder, change):
    """Apply a function to the report of a bundle, and return the report."""
    path = folder / "report.json"
    report = json.loads(path.read_text())
    change(report)
    path.write_text(json.dumps(report))
    return report


def keep_artifacts(folder, *paths):
    """Remove all other artifacts from the report, so that they are not run."""

    def change(report):
        kept = [x for x in report["artifacts"] if x["path"] in paths]
        report["artifacts"] = kept

    change_report(folder, change)


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
