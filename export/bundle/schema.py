"""What `report.json` contains, checked before anything in a bundle is opened.

Unknown keys are allowed, since later versions add some.
"""

from collections.abc import Collection
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from keras_inception_export.bundle.bundle import REPORT
from keras_inception_export.data.reading import first_problem
from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.errors import RequestError
from keras_inception_export.formats.registry import FORMATS, SCHEMES

VERSION = 1
"""Increased by a change after which an earlier version cannot read a report."""

MAX_NAME = 255  # bytes of a file's name

DEPTH = 50
"""Objects and lists within each other that a report may have."""


def _one_of(names: Collection[str]) -> AfterValidator:
    def check(name: str) -> str:
        if name not in names:
            raise ValueError(f"'{name}' is none of {', '.join(names)}")
        return name

    return AfterValidator(check)


def _within_the_folder(name: str) -> str:
    too_long = len(name.encode()) > MAX_NAME
    if too_long or name in ("", ".", "..") or set(name) & set("/\\\0"):
        raise ValueError(f"the path '{name[:40]}' leaves the folder")
    return name


Count = Annotated[int, Field(ge=0, lt=2**63)]
Size = Annotated[int, Field(ge=1, lt=2**63)]
Figure = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Name = Annotated[str, Field(min_length=1)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Confusion = Annotated[list[list[Count]], Field(max_length=100)]
FileName = Annotated[str, AfterValidator(_within_the_folder)]


class _Part(BaseModel):
    model_config = ConfigDict(
        strict=True,
        extra="allow",
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )


class Exact(_Part):
    """A part that is passed on as arguments, without unknown keys."""

    model_config = ConfigDict(extra="ignore")


class File(_Part):
    """A file of the bundle."""

    path: FileName
    """its name"""
    sha256: Sha256
    """its hash; of an artifact of several files, that of their list"""


class ProbesFile(File):
    """The probes."""

    regimes: dict[Name, Size]
    """per regime, the number of inputs"""
    unused: dict[str, str]
    """per regime that was not used, why"""


class LayerChannels(Exact):
    """The coverage of one layer."""

    layer: str
    """its path"""
    channels: Size
    """its channels"""
    moved: Count
    """those that a probe moves"""
    dead: Count = 0
    """those whose weights are all zero"""


class CoverageOfModel(_Part):
    """The coverage."""

    channels: Count
    """the channels of layers with weights"""
    moved: Count
    """those that a probe moves so that an output shows it"""
    dead: Count
    """those whose weights are all zero"""
    layers: list[LayerChannels]
    """the same for each layer"""


class Step(_Part):
    """A layer, a block, or a place at which the network divides."""

    name: str = ""
    """its name; empty where the network only divides"""
    type: str = ""
    """its class"""
    detail: str = ""
    """its sizes, as text"""
    shape: list[Count | None] = []
    """the shape of its output"""
    branches: list[list["Step"]] = []
    """its branches, each a list of such steps, joined at its end"""


class ModelFacts(_Part):
    """The model."""

    name: str
    """its name"""
    parameters: Count
    """the number of its parameters"""
    keras_path: str | None
    """the file it was loaded from; null for a model in memory"""
    backend: str = "tensorflow"
    """the Keras backend"""


class EvaluationFacts(_Part):
    """The samples that quantized artifacts are measured on."""

    seed: Count
    """seed of the split"""
    calibration: Count
    """the number of samples that quantization sees"""
    evaluation: Count
    """the number of the others"""
    labelled: bool
    """whether they have labels"""
    keras_accuracy: dict[str, Fraction | None]
    """per output, the accuracy of Keras"""
    keras_confusion: dict[str, Confusion] = {}
    """per output, the number of samples per label and class from Keras"""
    min_agreement: float
    """the required fraction of samples of the same class"""
    max_accuracy_drop: float
    """the allowed drop of the accuracy"""
    warnings: list[str]
    """what is suspicious about the samples"""


class Tensor(Exact):
    """An input or output."""

    name: Name
    """its name"""
    shape: Annotated[list[Count | None], Field(max_length=32)]
    """its sizes; null where unknown"""
    dtype: str
    """its NumPy dtype"""
    scale: float | None = None
    """the step of a quantized tensor"""
    zero_point: int = 0
    """the integer that represents 0"""

    @model_validator(mode="after")
    def _is_a_tensor(self) -> Self:
        TensorSpec.from_json(self.model_dump()).check()
        return self


class Parity(_Part):
    """The comparison of an output, in the column nearest to its tolerance."""

    output: Name
    """its name"""
    max_error: Figure | None
    """the largest error, relative to the column's range; null for infinity"""
    rms_error: Figure | None = None
    """the root mean square of the error"""
    keras_max_error: Figure | None = None
    """the error of Keras in float32"""
    tolerance: Figure | None
    """the allowed error"""
    passed: bool
    """whether it is not exceeded"""
    regime: str = ""
    """the regime of that column"""
    column: int | None = None
    """its index"""


class Measured(_Part):
    """An output of a quantized artifact, measured on the samples."""

    output: Name
    """its name"""
    snr_db: float
    """signal to noise in dB"""
    column_snr_db: float | None = None
    """signal to noise of the worst column"""
    column: int | None = None
    """its index"""
    max_error: Figure
    """the largest error, relative to the largest value"""
    agreement: Fraction | None
    """the fraction of samples of the same class as from Keras"""
    accuracy: Fraction | None
    """the fraction of samples of the class of their label"""
    confusion: Confusion | None = None
    """the number of samples per label (row) and predicted class (column)"""

    @model_validator(mode="after")
    def _has_both(self) -> Self:
        if (self.column is None) != (self.column_snr_db is None):
            raise ValueError("column and column_snr_db need each other")
        return self


class FloatCost(_Part):
    """What layers in float cost."""

    bytes: Annotated[int, Field(gt=-(2**63), lt=2**63)] | float
    """additional size"""
    time: float
    """ratio of the latencies"""


class Artifact(File):
    """An artifact."""

    format: Annotated[str, _one_of(FORMATS)]
    """its format"""
    quantization: Annotated[str, _one_of(SCHEMES)] | None = None
    """its quantization scheme; null for float32"""
    bytes: Count
    """its size"""
    inputs: Annotated[list[Tensor], Field(min_length=1)]
    """its inputs, in the declared order"""
    outputs: Annotated[list[Tensor], Field(min_length=1)]
    """its outputs"""
    seconds: Figure = 0.0
    """the time that writing it took"""
    parity: list[Parity]
    """one comparison per output"""
    measured: list[Measured]
    """one measurement per output, if there are samples"""
    equalized_channels: Count
    """the number of channels scaled before int8"""
    float_layers: list[str]
    """the layers that stay in float"""
    float_cost: FloatCost | None
    """what they cost; null where there are none"""
    passed: bool = True
    """true: an export that fails publishes nothing"""

    @model_validator(mode="after")
    def _has_each_output_once(self) -> Self:
        for names in (
            [tensor.name for tensor in self.inputs],
            [tensor.name for tensor in self.outputs],
        ):
            if len(set(names)) != len(names):
                raise ValueError(f"a name of {names} is not unique")
        if sorted(record.output for record in self.parity) != sorted(names):
            raise ValueError(f"parity must have one record per output {names}")
        return self


class Report(_Part):
    """The report."""

    schema_version: Annotated[int, Field(ge=1)] = VERSION
    """the version of this schema"""
    model: ModelFacts
    """the model"""
    structure: list[Step] = []
    """its layers, from the inputs to the outputs"""
    versions: dict[str, str | None]
    """the versions of the packages that were used"""
    metadata: dict[str, Any] | None = None
    """what each artifact says of itself ([format](how_to/preprocessing.md))"""
    probes: ProbesFile
    """the inputs and expected outputs, a file"""
    coverage: CoverageOfModel
    """the channels that the probes move"""
    layer_references: File | None = None
    """the expected outputs of the layers, a file"""
    evaluation: EvaluationFacts | None
    """the samples; null without samples or quantization"""
    artifacts: list[Artifact]
    """the artifacts"""
    passed: bool = True
    """true: an export that fails publishes nothing"""

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if any(artifact.measured for artifact in self.artifacts):
            if self.evaluation is None:
                raise ValueError("evaluation is missing")
        paths = [artifact.path for artifact in self.artifacts]
        if len(set(paths)) != len(paths):
            raise ValueError("two artifacts have the same path")
        return self


def checked(facts: Any) -> dict[str, Any]:
    """Return a report in which everything has the declared type and range.

    Raises:
        ValueError: with one line that names the key and what is wrong.
        RequestError: if it has no artifacts, or is of a later version.
    """
    _check_depth(facts)
    if isinstance(facts, dict) and facts.get("artifacts") == []:
        raise RequestError(
            f"{REPORT} names no artifact, so there is nothing to open; export "
            "the model again"
        )
    try:
        report = Report.model_validate(facts)
    except ValidationError as error:
        raise ValueError(first_problem(error)) from None
    if report.schema_version > VERSION:
        raise RequestError(
            f"{REPORT} has version {report.schema_version} of its schema, "
            f"expected at most {VERSION}; install a newer "
            "keras-inception-layers"
        )
    return report.model_dump(exclude_unset=True)


def _check_depth(value: Any) -> None:
    """Raise ValueError for what Python could not print again."""
    level = [value]
    for _ in range(DEPTH):
        level = [
            child
            for item in level
            if isinstance(item, (dict, list))
            for child in (item.values() if isinstance(item, dict) else item)
        ]
    if level:
        raise ValueError(f"it is more than {DEPTH} levels deep")
