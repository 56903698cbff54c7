"""One test of every kind, with the oldest and newest versions that are allowed.

    nox                     # oldest on Python 3.11, newest on 3.11 to 3.13
    nox -s "newest-3.13"

Needs nox and uv.
"""

import nox

nox.options.default_venv_backend = "uv"


@nox.session(python="3.11")
def oldest(session: nox.Session) -> None:
    """The lower bounds of pyproject.toml."""
    # Old versions warn of what newer ones of their own dependencies changed.
    session.env["PYTEST_ADDOPTS"] = "-W default"
    _quick(session, "--resolution", "lowest-direct")


@nox.session(python=["3.11", "3.12", "3.13"])
def newest(session: nox.Session) -> None:
    """What a user would install today."""
    _quick(session)


def _quick(session: nox.Session, *options: str) -> None:
    session.install(".[test]", *options)
    made = ("-o", ".venv/.installed", f"BIN={session.bin}")
    session.run("make", *made, "quick", external=True)
