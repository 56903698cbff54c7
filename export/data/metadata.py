"""What an artifact says of itself: the JSON that each artifact contains.

`docs/metadata.md` describes the schema, and where each format has it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from keras_inception_export.data.preprocessing import Preprocessing
from keras_inception_export.data.reading import first_problem
from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.errors import ArtifactError, RequestError

SCHEMA = 1
"""The version of the schema. One that only adds keys has the same number."""

NAME = "keras_inception"
"""The key, or the file's name without `.json`, of the metadata."""

IMAGE, VALUES, SCORES = "image", "values", "class scores"
"""The meanings of inputs and outputs."""


@dataclass(frozen=True)
class InputMetadata:
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

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    meaning: str = VALUES
    preprocessing: Preprocessing | None = None
    verified: tuple[float, float] | None = None
    built_in: Preprocessing | None = None


@dataclass(frozen=True)
class OutputMetadata:
    """What an artifact says of one output.

    Args:
        name: its name.
        shape: sizes of its axes; an unknown size is `None`.
        dtype: its NumPy dtype.
        meaning: `"class scores"` if there are labels, or `"values"`.
        labels: the name of each column; `None`: unknown.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    meaning: str = VALUES
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
        except (
            *(AttributeError, KeyError, TypeError, ValueError),
            RequestError,
        ) as error:
            reason: Any = error if str(error) else type(error).__name__
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
        try:
            facts = json.loads(content)
        except (ValueError, RecursionError):
            facts = None
        return cls.from_json(facts)
