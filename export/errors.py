"""The errors of the export, each with the exit code the command gives it."""


class ExportError(Exception):
    """Base class of every error this package raises on purpose.

    The message is one line: what was received, what was expected, what to do.
    """

    exit_code = 2


class RequestError(ExportError):
    """The request or the input is wrong; nothing was written."""


class ConversionError(ExportError):
    """The model holds something that the format cannot express."""


class RuntimeMissingError(ExportError):
    """The runtime that opens this artifact is not installed."""


class ArtifactError(ExportError):
    """An artifact is damaged or does not compute what the model computes."""

    exit_code = 1
