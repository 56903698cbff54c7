"""What an artifact says of itself: the JSON that each artifact contains.

`docs/how_to/preprocessing.md` describes the schema, and where it is in each
format.
"""

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from keras_inception_export.data.preprocessing import Preprocessing
from keras_inception_export.data.reading import first_problem
from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.errors import ArtifactError

SCHEMA = 1
"""The version of the schema. One that only adds keys has the same number."""

NAME = "keras_inception"
"""The key, or the file's name without `.json`, of the metadata."""

IMAGE, VALUES, SCORES = "image", "values", "class scores"
"""The meanings of inputs and outputs."""

RESIZED = {"stretch": "stretched", "crop": "cropped", "pad": "padded"}
"""How an image is resized, as a word."""


@dataclass(frozen=True)
class _TensorMetadata:
    name: str
    shape: tuple[int | None, ...]
    dtype: str
    meaning: str = VALUES


@dataclass(frozen=True)
class InputMetadata(_TensorMetadata):
    """What an artifact says of one input.

    Args:
        name: its name.
        shape: sizes of its axes; an unknown size is `None`.
        dtype: its NumPy dtype.
        meaning: `"image"` or `"values"`.
        preprocessing: how an image becomes the input; `None`: unknown.
        verified: the smallest and the largest value of the usual inputs that
            the artifact was verified on.
        built_in: for an input that takes pixels, the preprocessing that the
            artifact computes itself; `None`: none.
    """

    preprocessing: Preprocessing | None = None
    verified: tuple[float, float] | None = None
    built_in: Preprocessing | None = None


@dataclass(frozen=True)
class OutputMetadata(_TensorMetadata):
    """What an artifact says of one output.

    Args:
        name: its name.
        shape: sizes of its axes; an unknown size is `None`.
        dtype: its NumPy dtype.
        meaning: `"class scores"` if there are labels, or `"values"`.
        labels: the name of each column; `None`: unknown.
    """

    labels: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Metadata:
    """What an artifact says of itself.

    Args:
        model: the name of the Keras model.
        inputs: one record per input, in the declared order.
        outputs: one record per output, in the declared order.
        versions: versions of the packages that wrote it, by name.
        quantization: the scheme; `None` for float32.
        verification: what it was compared with before it was published.
    """

    model: str
    inputs: tuple[InputMetadata, ...]
    outputs: tuple[OutputMetadata, ...]
    versions: Mapping[str, str | None] = field(default_factory=dict)
    quantization: str | None = None
    verification: Mapping[str, Any] = field(default_factory=dict)

    def of_artifact(
        self,
        inputs: Sequence[TensorSpec],
        outputs: Sequence[TensorSpec],
        quantization: str | None,
    ) -> "Metadata":
        """Return the metadata with the shapes and dtypes of one artifact."""

        def typed(records, specs):
            return tuple(
                replace(record, shape=tuple(spec.shape), dtype=spec.dtype)
                for record, spec in zip(records, specs, strict=True)
            )

        return replace(
            self,
            inputs=typed(self.inputs, inputs),
            outputs=typed(self.outputs, outputs),
            quantization=quantization,
        )

    @property
    def labels(self) -> dict[str, tuple[str, ...]]:
        """The names of the columns, by output, where they are known."""
        return {x.name: x.labels for x in self.outputs if x.labels}

    def summary(self) -> list[tuple[str, str]]:
        """Return headings and lines on images and classes, one per name."""
        images = [
            ("images", f"{record.name}: {', '.join(_image(record))}")
            for record in self.inputs
            if record.preprocessing
        ]
        classes = [
            ("classes", f"{record.name}: {_first(record.labels)}")
            for record in self.outputs
            if record.labels
        ]
        return images + classes

    def as_json(self) -> dict[str, Any]:
        """Return the metadata as a dictionary, as JSON can hold it."""
        return json.loads(self.encoded())

    def encoded(self) -> bytes:
        """Return the JSON text that an artifact contains."""
        facts = {"schema": SCHEMA, **asdict(self)}
        return json.dumps(facts, allow_nan=False).encode()

    @classmethod
    def from_json(cls, facts: Any) -> "Metadata":
        """Return the metadata of a dictionary that `as_json` returned.

        Raises:
            ArtifactError: if it is damaged, or of a later schema.
        """
        from pydantic import TypeAdapter, ValidationError

        try:
            if facts["schema"] != SCHEMA:
                raise ValueError(
                    f"its schema is {facts['schema']}, expected {SCHEMA}"
                )
            return TypeAdapter(cls).validate_python(facts)
        except Exception as error:
            reason = str(error) or type(error).__name__
            if isinstance(error, ValidationError):
                reason = first_problem(error)
            raise ArtifactError(
                f"the metadata cannot be read ({reason}); export the model "
                "again, or use the version that wrote it"
            ) from error

    @classmethod
    def decoded(cls, content: bytes) -> "Metadata":
        """Return the metadata of the JSON text in an artifact.

        Raises:
            ArtifactError: as `from_json` does.
        """
        facts = None
        with contextlib.suppress(ValueError, RecursionError):
            facts = json.loads(content)
        return cls.from_json(facts)


def _image(record):
    """Return what becomes of an image before it is an input, in short."""
    made, built_in = record.preprocessing, record.built_in
    sides = ["any" if side is None else str(side) for side in made.size]
    yield f"{' x '.join(sides)} {_color(made)}"
    yield f"{RESIZED[made.resize]} ({made.interpolation})"
    if made.data_format == "channels_first":
        yield "channels first"
    yield from _normalization(made)
    if built_in:
        texts = [_color(built_in), *_normalization(built_in)]
        yield f"then in the artifact {', '.join(texts)}"


def _color(made):
    return made.color if made.color == "grey" else made.color.upper()


def _normalization(made):
    """Return texts on how pixels of 0 to 255 become values."""
    if made.keeps_values:
        return ["values 0 to 255"]
    inverse = 1 / made.scale
    scale = f"1/{inverse:g}" if abs(inverse) > 1 else f"{made.scale:g}"
    fields = {"scale": scale, "mean": _numbers(made.mean)}
    fields["std"] = _numbers(made.std)
    plain = {"scale": "1", "mean": "0", "std": "1"}
    return [f"{k} {v}" for k, v in fields.items() if v != plain[k]]


def _numbers(values):
    shown = values[:1] if len(set(values)) == 1 else values
    return " ".join(f"{x:g}" for x in shown)


def _first(labels):
    """Return the first labels and the number of all."""
    more = ", ..." if len(labels) > 3 else ""
    return f"{', '.join(labels[:3])}{more} ({len(labels)})"
