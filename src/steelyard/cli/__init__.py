"""The command ``steelyard``. Heavy imports load with the verb, so that help stays quick."""

from __future__ import annotations

import sys

from steelyard._checks import InputError
from steelyard.cli.verbs import app

__all__ = ["app", "main"]


def main() -> None:
    """Run the command; a mistake of the user's becomes one line on stderr and exit code 2."""
    try:
        app()
    except (InputError, FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError) as error:
        print("steelyard:", " ".join(str(error).split()), file=sys.stderr)  # noqa: T201 - this is the command
        sys.exit(2)
