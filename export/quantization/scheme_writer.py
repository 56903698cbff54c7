"""Write a quantization scheme in every format, or explain why it fails.

Every artifact must meet the acceptance criteria. An int8 artifact that does
not is written again with some layers in float.
"""

from collections.abc import Sequence
from pathlib import Path

from keras_inception_export.diagnosis.capture import capture_layer_references
from keras_inception_export.diagnosis.diagnose import examine
from keras_inception_export.errors import ArtifactError
from keras_inception_export.formats.schemes import PREPARED_SCHEME
from keras_inception_export.model.inference_model import InferenceModel
from keras_inception_export.options import ExportOptions
from keras_inception_export.quantization.artifact_writer import ArtifactWriter
from keras_inception_export.quantization.artifacts import WrittenArtifact
from keras_inception_export.quantization.evaluation import Evaluation
from keras_inception_export.quantization.mixed_precision import (
    MixedPrecisionSearch,
)
from keras_inception_export.verification.probes import Probes


class SchemeWriter:
    """Writes the quantized artifacts of one inference model.

    Args:
        inference_model: the float model; it stays as it is.
        evaluation: the samples, and the outputs of Keras on them. `None` if
            there are no samples: nothing is measured then, and int8 cannot be
            written.
        probes: the inputs on which latency is measured and failures are
            diagnosed.
        folder: the folder of the artifacts.
        workdir: a folder for temporary files.
        options: the options of the export.
    """

    def __init__(
        self,
        inference_model: InferenceModel,
        evaluation: Evaluation | None,
        probes: Probes,
        folder: Path,
        workdir: Path,
        options: ExportOptions,
    ) -> None:
        self._writer = ArtifactWriter(
            inference_model, evaluation, folder, workdir, options
        )
        self._search = MixedPrecisionSearch(self._writer, probes, workdir)
        self._evaluation = evaluation
        self._probes = probes
        self._folder = folder
        self._options = options

    @property
    def equalized_model(self) -> InferenceModel | None:
        """The model that int8 is written from; `None` if none is requested."""
        if PREPARED_SCHEME not in self._options.quantize:
            return None
        return self._writer.model(PREPARED_SCHEME).inference_model

    def write(self, scheme: str) -> list[WrittenArtifact]:
        """Write one scheme in every requested format that has it.

        Raises:
            ArtifactError: if an artifact fails the acceptance criteria, for
                int8 whatever layers stay in float.
        """
        written = [
            self._writer.write(name, scheme)
            for name in self._options.quantized_formats(scheme)
        ]
        if scheme == PREPARED_SCHEME:
            written = [self._search.improve(artifact) for artifact in written]
        failed = [artifact for artifact in written if artifact.findings]
        if failed:
            raise ArtifactError(self._explanation(failed, scheme))
        return written

    def _explanation(
        self, failed: Sequence[WrittenArtifact], scheme: str
    ) -> str:
        """Return what failed, the worst layer, what was tried, what to do."""
        model = self._writer.model(scheme)
        layer_references = capture_layer_references(
            model.inference_model, self._probes.together()
        )
        feeds = self._probes.singles()
        parts = []
        for artifact in failed:
            parts += [f"{artifact.name}: {text}" for text in artifact.findings]
            worst = examine(
                self._folder, artifact.as_json(), layer_references, feeds
            ).first
            if worst:
                parts.append(f"{artifact.name}: worst is {worst.described()}")
        if scheme == PREPARED_SCHEME:
            parts.append(
                f"already tried: {model.channels} channels equalized, and any "
                "number of layers in float"
            )
        if self._evaluation:
            parts += self._evaluation.warnings
        parts.append(
            "lower --min-agreement, raise --max-accuracy-drop, or leave the "
            f"scheme {scheme} out"
        )
        return "; ".join(parts)
