"""The command ``steelyard``. Heavy imports load with the verb, so that help stays quick."""

from __future__ import annotations

import logging
import sys
import warnings

import typer

from steelyard._checks import InputError
from steelyard.cli import features, models  # noqa: F401 - they add their verbs
from steelyard.cli.verbs import app

__all__ = ["app", "main"]

INTERRUPTED = 130  # what typer makes of Ctrl-C
MISTAKES = (InputError, FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)


def main() -> None:
    """Run the command; a mistake of the user's becomes one line on stderr and exit code 2."""
    warnings.formatwarning = lambda message, *_, **__: f"steelyard: {message}\n"
    warnings.filterwarnings("once", category=UserWarning, module="steelyard")
    warnings.filterwarnings("ignore", module="PIL")  # files that cannot be read are refused, or counted
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    log, notes = logging.getLogger("steelyard"), _Notes()
    log.handlers = [notes]
    log.setLevel(logging.INFO)
    if len(sys.argv) == 1:
        sys.argv.append("--help")
    try:
        code = app(standalone_mode=False)
        if code == INTERRUPTED:
            print(
                "steelyard: interrupted; what is finished is kept, and the same command goes on.",
                file=sys.stderr,
            )
        else:
            notes.flush()
        sys.exit(code)
    except typer.Abort:
        sys.exit(1)
    except typer.TyperException as error:
        message = getattr(error, "format_message", error.__str__)()
        _refuse(f"{message.rstrip('.')}. See {' '.join(_command())} --help.")
    except ArithmeticError as error:  # a training that diverged: no mistake in the words, yet no crash either
        print("steelyard:", error, file=sys.stderr)
        sys.exit(1)
    except MISTAKES as error:
        _refuse(str(error))
    finally:
        notes.waiting.clear()


class _Notes(logging.Handler):
    """What was done to the data, one line on stderr each; data that is read again says nothing new.

    Notes wait until the work begins or is done, for a mistake is answered by one line.
    """

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []
        self.waiting: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Take up a note that was not said yet."""
        note = " ".join(record.getMessage().split())
        if note not in self.said:
            self.said.append(note)
            self.waiting.append(note)

    def flush(self) -> None:
        """Print what waits."""
        while self.waiting:
            print("steelyard: note:", self.waiting.pop(0), file=sys.stderr)


def _command() -> list[str]:
    """The command and its verb, as far as they were understood."""
    verbs = {info.name or info.callback.__name__ for info in app.registered_commands if info.callback}
    return ["steelyard", *(word for word in sys.argv[1:2] if word in {*verbs, "datasets"})]


def _refuse(message: str) -> None:
    print("steelyard:", " ".join(message.split()), file=sys.stderr)
    sys.exit(2)
