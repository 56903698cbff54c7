"""Export one model once, and compare the artifact with the live model."""

import functools
import os
import re
import tempfile
import time
from pathlib import Path

import keras
import numpy as np

from keras_inception_export.errors import ExportError, reason_of

from . import exports, inputs
from .case import Case
from .inputs import Reference, references


@functools.lru_cache(maxsize=1)
def prepared(case: Case) -> tuple[keras.Model, list[Reference]]:
    """Return the live model of a case, and what it computes."""
    keras.utils.clear_session(free_memory=False)
    model = case.model()
    return model, references(case, model)


def judge(case: Case, format_name: str, exporter: str) -> dict:
    """Return the result of one export: its `status` and what belongs to it.

    `right`, with the largest `error` of an output, relative to the largest
    value of its column, or of the median column if that is larger;
    `refused`, with the reason as `detail`; `wrong`, if a value differs or the
    runtime does not run what was written; `crashed`, if anything but an
    `ExportError` was raised by us; `unbuildable`, if there is no model.
    """
    try:
        model, expected = prepared(case)
    except Exception as error:
        return {"status": "unbuildable", "detail": reason_of(error)}
    if not expected:
        detail = "the live model accepts none of the inputs"
        return {"status": "unbuildable", "detail": detail}
    with tempfile.TemporaryDirectory(prefix="corpus-") as folder:
        start, cpu = time.perf_counter(), cpu_seconds()
        export = exports.EXPORTERS[exporter]
        try:
            path, names = export(model, Path(folder), format_name)
        except Exception as error:
            refused = exporter == "keras" or isinstance(error, ExportError)
            kind = (
                "" if isinstance(error, ExportError) else type(error).__name__
            )
            result = _since(start, cpu) | {
                "status": "refused" if refused else "crashed",
                "detail": ": ".join(filter(None, (kind, reason_of(error)))),
            }
        else:
            result = _since(start, cpu)
            result |= _compare(model, expected, path, names, format_name)
        if "detail" in result:
            # Names of temporary folders differ each time.
            pattern = rf"{re.escape(folder)}/(\.bundle\.\w+/)?"
            result["detail"] = re.sub(pattern, "", result["detail"])
        return result


def cpu_seconds() -> float:
    """Return the processor time of this process and of its children."""
    total = sum(os.times()[:4])
    for path in Path("/proc/self/task").glob("*/children"):
        for child in path.read_text().split():
            text = Path(f"/proc/{child}/stat").read_text()
            times = text.rpartition(")")[2].split()[11:15]
            total += sum(map(int, times)) / os.sysconf("SC_CLK_TCK")
    return total


def _since(start, cpu) -> dict:
    return {
        "seconds": round(time.perf_counter() - start, 1),
        "cpu": round(cpu_seconds() - cpu, 1),
    }


def _compare(model, expected, path, names, format_name) -> dict:
    """Run the artifact on every reference; return what was found."""
    keys = list(model.output) if isinstance(model.output, dict) else None
    worst = {"status": "right", "error": 0.0}
    try:
        run = exports.OPENERS[format_name](path)
    except Exception as error:
        return _wrong(f"its runtime cannot open it: {reason_of(error)}")
    for reference in expected:
        where = f"inputs: {reference.regime}"
        try:
            outputs = exports.in_order(run(reference.feeds), names, keys)
        except Exception as error:
            return _wrong(f"cannot be run: {reason_of(error)} ({where})")
        if len(outputs) != len(reference.outputs):
            return _wrong(
                f"{len(outputs)} outputs instead of {len(reference.outputs)}"
            )
        for got, output, tolerance in zip(
            outputs, reference.outputs, reference.tolerances, strict=True
        ):
            result = compare(np.asarray(got), output, tolerance)
            if result["status"] == "wrong":
                result["detail"] += f" ({where})"
                return result
            worst = max(worst, result, key=lambda found: found["error"])
    return worst


def _wrong(detail: str, **facts) -> dict:
    return {"status": "wrong", **facts, "detail": detail}


def compare(got, expected, tolerance) -> dict:
    """Compare one output; values that are not finite in Keras are left out."""
    if got.shape != expected.shape:
        detail = f"shape {got.shape} instead of {expected.shape}"
        return _wrong(detail, error=1.0)
    if expected.dtype.kind not in "fiub":
        if not np.array_equal(got.astype(str), expected.astype(str)):
            return _wrong("other strings", error=1.0)
        return {"status": "right", "error": 0.0}
    used = np.isfinite(expected.astype("float64"))
    values, target = got.astype("float64")[used], expected[used]
    if not used.any():
        return {"status": "right", "error": 0.0}
    with np.errstate(invalid="ignore"):
        difference = np.abs(values - target.astype("float64"))
    # NaN and infinity in the artifact alone are as wrong as can be.
    difference = np.where(np.isfinite(difference), difference, np.inf)
    largest = np.abs(expected.astype("float64"))
    largest = np.where(used, largest, 0).max(
        axis=tuple(range(expected.ndim - 1)), keepdims=True, initial=0
    )
    # One of a thousand columns may be near 0 on every input.
    largest = np.maximum(largest, np.median(largest))
    scale = np.broadcast_to(largest, expected.shape)[used]
    beyond = difference > tolerance[used]
    relative = difference / np.maximum(scale, inputs.SMALLEST)
    if beyond.any():
        index = np.argmax(np.where(beyond, difference, -1))
        return _wrong(
            f"{values[index]:.6g} instead of {target[index]:.6g}",
            error=float(min(relative[index], 1e30)),
        )
    return {"status": "right", "error": float(relative.max(initial=0))}
