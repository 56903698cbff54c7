"""Checks of what was asked for, before anything is loaded or written."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_inception_export.bundle import check_output
from keras_inception_export.errors import RequestError
from keras_inception_export.formats import FILES, SCHEMES
from keras_inception_export.formats.onnx import check_opset
from keras_inception_export.quantization.guard import (
    MAX_ACCURACY_DROP,
    MIN_AGREEMENT,
)
from keras_inception_export.quantization.split import CALIBRATION


@dataclass(frozen=True)
class ExportRequest:
    """What `export_model` was asked for; its docstring says what each means.

    Raises:
        RequestError: if an argument is out of its range, or the bundle
            cannot or must not go to `output_dir`.
    """

    output_dir: Path
    formats: Sequence[str] = tuple(FILES)
    samples: Any = None
    pixel_scale: float = 1.0
    batch_size: int | None = None
    opset: int = 18
    overwrite: bool = False
    quantize: Sequence[str] = ()
    quantized_io: str | None = None
    calibration_samples: int = CALIBRATION
    min_agreement: float = MIN_AGREEMENT
    max_accuracy_drop: float = MAX_ACCURACY_DROP

    def __post_init__(self):
        formats = _listed("format", self.formats, FILES)
        schemes = _listed("quantization", self.quantize, SCHEMES)
        object.__setattr__(self, "output_dir", Path(self.output_dir))
        object.__setattr__(self, "formats", formats)
        object.__setattr__(self, "quantize", schemes)
        if not formats:
            raise RequestError(
                f"no format was given; choose from {', '.join(FILES)}"
            )
        check_opset(self.opset)
        if self.batch_size is not None:
            _check_count("the batch size", self.batch_size)
        _check_count("the number of samples", self.calibration_samples)
        self._check_quantization()
        check_output(self.output_dir, overwrite=self.overwrite)

    @property
    def quantized_formats(self) -> tuple[str, ...]:
        """The formats that quantized artifacts are written in."""
        return tuple(name for name in self.formats if name != "saved_model")

    def _check_quantization(self):
        for name in ("min_agreement", "max_accuracy_drop"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise RequestError(
                    f"{name} must be a part of the samples, from 0 to 1; got "
                    f"{value}"
                )
        if self.quantized_io is not None:
            check_choice("quantized io", self.quantized_io, ("int8", "uint8"))
            if "int8" not in self.quantize:
                raise RequestError(
                    f"integer inputs and outputs ({self.quantized_io}) need "
                    "the quantization int8"
                )
        if not self.quantize:
            return
        if not self.quantized_formats:
            raise RequestError(
                "a SavedModel is not quantized; add the format tflite or onnx"
            )
        if self.samples is None:
            raise RequestError(
                f"quantization ({', '.join(self.quantize)}) is calibrated and "
                "measured on real data and needs samples: a folder of "
                "images, .npy, or .npz with x and y"
            )


def _listed(role, names, choices) -> tuple[str, ...]:
    """Return names in the order of the choices, each once."""
    names = (names,) if isinstance(names, str) else tuple(names)
    for name in names:
        check_choice(role, name, choices)
    return tuple(choice for choice in choices if choice in names)


def _check_count(what, value) -> None:
    if not isinstance(value, int) or value < 1:
        raise RequestError(
            f"{what} must be an integer of at least 1, got {value!r}"
        )


def check_choice(role, name, choices) -> None:
    """Raise RequestError, with the nearest choice, for an unknown name."""
    if name in choices:
        return
    near = difflib.get_close_matches(str(name), choices, 1)
    hint = f'did you mean "{near[0]}"? ' if near else ""
    raise RequestError(
        f'{role} "{name}" is unknown; {hint}choose from {", ".join(choices)}'
    )
