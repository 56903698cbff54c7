"""The options of an export, checked before anything is loaded or written."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_inception_export.bundle.publication import check_output
from keras_inception_export.errors import RequestError, check_choice
from keras_inception_export.formats.onnx.opsets import check_opset
from keras_inception_export.formats.registry import (
    DEFAULT_FORMATS,
    FORMATS,
    SCHEMES,
)
from keras_inception_export.formats.schemes import PREPARED_SCHEME, check_io

CALIBRATION_SAMPLES = 200
"""Samples to calibrate on. On a trained hybrid 10, 50 and 200 of them gave
25, 33 and 37 dB."""

MIN_AGREEMENT = 0.99
"""Fraction of the samples that must get the same class as from Keras."""

MAX_ACCURACY_DROP = 0.005
"""By how much the fraction of correctly classified samples may fall."""


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """The checked arguments of `export_model`, which documents them.

    Raises:
        RequestError: if an argument is invalid, or `output_dir` cannot or
            must not be written.
    """

    output_dir: Path
    formats: Sequence[str] = DEFAULT_FORMATS
    samples: Any = None
    preprocess: Any = None
    pixel_scale: float | None = None
    labels: Any = None
    pixels: bool = False
    batch_size: int | None = None
    opset: int = 18
    overwrite: bool = False
    force: bool = False
    quantize: Sequence[str] = ()
    quantized_io: str | None = None
    calibration_samples: int = CALIBRATION_SAMPLES
    min_agreement: float | None = None
    max_accuracy_drop: float | None = None

    def __post_init__(self):
        formats = _listed("format", self.formats, FORMATS)
        schemes = _listed("quantization", self.quantize, SCHEMES)
        if not os.fspath(self.output_dir):  # it would be the current folder
            raise RequestError("the output is an empty path; name a folder")
        object.__setattr__(self, "output_dir", Path(self.output_dir))
        object.__setattr__(self, "formats", formats)
        object.__setattr__(self, "quantize", schemes)
        self._read_files()
        if not formats:
            raise RequestError(
                f"got no format; choose from {', '.join(FORMATS)}"
            )
        check_opset(self.opset)
        if self.batch_size is not None:
            _check_count("the batch size", self.batch_size)
        _check_count("the number of samples", self.calibration_samples)
        self._check_quantization()
        check_output(self.output_dir, overwrite=self.overwrite)

    def quantized_formats(self, scheme: str) -> tuple[str, ...]:
        """Return the formats that are written in a quantization scheme."""
        return tuple(
            name for name in self.formats if scheme in FORMATS[name].schemes
        )

    def _read_files(self) -> None:
        """Replace names and paths by the preprocessing and the labels."""
        # These need NumPy, for which `--help` must not wait.
        from keras_inception_export.data.labels import read_labels
        from keras_inception_export.data.preprocessing import (
            Preprocessing,
            make_preprocessing,
        )

        if self.labels is not None:
            object.__setattr__(self, "labels", read_labels(self.labels))
        made = None
        if self.preprocess is not None:
            made = make_preprocessing(self.preprocess)
        if self.pixel_scale is not None:
            if made is not None:
                raise RequestError(
                    f"got the preprocessing {self.preprocess} and the pixel "
                    f"scale {self.pixel_scale}; give one of them"
                )
            made = Preprocessing(scale=self.pixel_scale)
        object.__setattr__(self, "preprocess", made)
        object.__setattr__(self, "pixel_scale", None)

    def _check_quantization(self) -> None:
        names = ("min_agreement", "max_accuracy_drop")
        criteria = [x for x in names if getattr(self, x) is not None]
        for name in criteria:
            if not 0 <= (value := getattr(self, name)) <= 1:
                raise RequestError(
                    f"{name} must be a fraction from 0 to 1; got {value}"
                )
        check_io(self.quantized_io, self.quantize)
        if criteria and not self.quantize:
            raise RequestError(
                f"{criteria[0]} applies to quantized artifacts; add "
                "a quantization, or leave it out"
            )
        for scheme in self.quantize:
            if not self.quantized_formats(scheme):
                able = [n for n, x in FORMATS.items() if scheme in x.schemes]
                raise RequestError(
                    f"{', '.join(self.formats)} cannot be quantized to "
                    f"{scheme}; add one of the formats {', '.join(able)}"
                )
        measured = [x for x in self.quantize if x == PREPARED_SCHEME]
        for name in (*measured, *criteria):
            if self.samples is None:
                raise RequestError(
                    f"{name} is measured on real data and needs samples: a "
                    "folder of images, .npz with x and y, .parquet or .tar"
                )


def _listed(role, names, choices) -> tuple[str, ...]:
    """Return the distinct names in the order of the choices."""
    names = (names,) if isinstance(names, str) else tuple(names)
    for name in names:
        check_choice(role, name, choices)
    return tuple(choice for choice in choices if choice in names)


def _check_count(what, value) -> None:
    if not isinstance(value, int) or value < 1:
        raise RequestError(
            f"{what} must be an integer of at least 1, got {value!r}"
        )
