"""`python -m keras_inception_export` and `python export`."""

import sys

if not __package__:  # run as a folder: import the installed package
    sys.path.pop(0)

from keras_inception_export.cli import main

sys.exit(main())
