"""Format the result of `diagnose` for a terminal."""

import math
from collections.abc import Sequence

from keras_inception_export.cli.layout import grid, joined
from keras_inception_export.cli.tables import error_text
from keras_inception_export.diagnosis.diagnose import Diagnosis
from keras_inception_export.diagnosis.layer_comparison import LayerResult

ROWS = 24
"""Approximate number of layers shown per artifact, unless all are shown."""

MIN_DROP_DB = 6.0
"""The smallest drop of the signal-to-noise ratio that is reported, in dB."""

DECADES = 8
"""The bars cover errors from 1e-8 to 1."""


def table(diagnoses: Sequence[Diagnosis], *, everything=False) -> str:
    """Return the tables and the verdict of `diagnose`."""
    lines: list[str] = []
    for diagnosis in diagnoses:
        lines += [*_artifact(diagnosis, everything), ""]
    return joined([*lines, *_verdict(diagnoses)])


def _artifact(diagnosis: Diagnosis, everything: bool) -> list[str]:
    """Return the table of one artifact."""
    layers, quantized = diagnosis.layers, diagnosis.quantization
    head = f"{diagnosis.path}  {quantized or 'float'}"
    if diagnosis.reason:
        return [f"{head}, not examined: {diagnosis.reason}"]
    shown = range(len(layers)) if everything else _relevant(layers)
    limit = "published" if quantized else "allowed"
    rows = [("", "layer", "error", limit, "dB" if quantized else "", "", "")]
    for index in shown:
        layer = layers[index]
        sign, remark = "~" if layer.changed_channels else "✓", ""
        if layer is diagnosis.first:
            remark = "starts here"
        elif quantized and index and layer.snr_drop >= MIN_DROP_DB:
            remark = f"{layer.snr_drop:.0f} dB lost"
        rows.append(
            (
                "✗" if layer.diverges else sign,
                layer.name,
                error_text(layer.error),
                error_text(layer.published if quantized else layer.allowed),
                _decibels(layer.snr) if quantized else "",
                _bar(layer.error),
                remark,
            )
        )
    lines = [head, *grid(rows, "<~>>>?<")]
    if len(shown) < len(layers):
        lines.append(
            f"   {len(shown)} of {len(layers)} layers; --all shows every one"
        )
    return lines


def _relevant(layers: Sequence[LayerResult]) -> list[int]:
    """Return the indices of the layers where an error starts and jumps.

    Layers outside of blocks are added, evenly spaced if there are many.
    """
    last = len(layers) - 1
    drops = sorted(range(len(layers)), key=lambda i: -layers[i].snr_drop)[:3]
    chosen = {0, last, *(i for i in drops if layers[i].snr_drop >= MIN_DROP_DB)}
    start = next((i for i, x in enumerate(layers) if x.diverges), None)
    if start is not None:
        chosen.update(range(max(start - 1, 0), min(start + 2, last) + 1))
    outer = [i for i, x in enumerate(layers) if "/" not in x.layer]
    step = -(-len(outer) // ROWS) or 1
    return sorted({i for i in chosen | {*outer[::step]} if 0 <= i <= last})


def _verdict(diagnoses: Sequence[Diagnosis]) -> list[str]:
    """Return lines that say where each artifact diverges, if it does."""
    lines, passed = [], []
    for diagnosis in diagnoses:
        path, first = diagnosis.path, diagnosis.first
        changed = next(
            (x.name for x in diagnosis.layers if x.changed_channels), None
        )
        if first:
            lines.append(f'✗  {path}: the first to diverge is "{first.name}"')
        elif diagnosis.damaged:
            lines.append(f"✗  {path} cannot be examined")
        elif changed:
            lines.append(
                f'~  {path}: differs from the published one from "{changed}" '
                "on, within the rounding of another processor"
            )
        if diagnosis.layers and not first:
            passed.append(path)
    if passed:
        lines.append(f"✓  no layer diverges: {', '.join(passed)}")
    return lines


def _decibels(value: float) -> str:
    return f"{value:.0f}" if math.isfinite(value) else "-"


def _bar(error: float) -> str:
    """Return a bar with two characters per power of ten."""
    if error <= 0:
        return ""
    decades = DECADES + math.log10(min(error, 1.0))
    return "█" * max(0, round(2 * decades))
