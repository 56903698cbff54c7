"""The command line of the exporter."""

import sys

try:
    from keras_inception_export.cli.main import main
except KeyboardInterrupt:  # before `main` can handle it
    print("keras-inception: interrupted", file=sys.stderr)
    sys.exit(130)

__all__ = ["main"]
