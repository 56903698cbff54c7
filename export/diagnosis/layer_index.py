"""The index of the layer references, checked like a report."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from keras_inception_export.bundle.schema import Count, Exact, Figure, Size


class LayerEntry(Exact):
    """A `LayerReference` without its arrays; `count`: its positions."""

    layer: str
    output: str
    source: Count | None
    other_sources: list[Count] = []
    shape: Annotated[list[Size], Field(min_length=1, max_length=32)]
    channel_axis: Count
    scale: Annotated[float, Field(gt=0)]
    keras_error: Annotated[float, Field(ge=0, allow_inf_nan=True)]
    count: Size


class LocationEntry(Exact):
    """A `TensorLocation` without its values."""

    tensor: str
    channels_first: bool
    error: Figure
    has_values: bool


class LayerIndex(Exact):
    """The index of the layer references."""

    layers: list[LayerEntry]
    equalized: Count
    artifacts: dict[str, list[LocationEntry | None]]

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        number = len(self.layers) - self.equalized
        if self.equalized not in (0, number):
            raise ValueError("there are other equalized layers than layers")
        for index, entry in enumerate(self.layers):
            if entry.channel_axis >= len(entry.shape):
                raise ValueError(f"{entry.layer} has no such channel axis")
            sources = [entry.source, *entry.other_sources]
            if any(x is not None and x >= index % number for x in sources):
                raise ValueError(f"{entry.layer} reads a later layer")
        return self
