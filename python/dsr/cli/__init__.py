"""The command line: runs a command and turns what goes wrong into one line on stderr."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

from dsr.cli.errors import (
    BAD_INPUT,
    BROKEN_PIPE,
    FAILED,
    INTERRUPTED,
    CommandError,
    warnings_on_stderr,
)

CONTINUE = "the last checkpoint is what `dsr train --resume` or the same `dsr compare` starts from"
INSTALL = "pip install 'dsr-kernels[train]'"
EXTRAS = frozenset(
    {"matplotlib", "pandas", "rich", "safetensors", "sklearn", "tensorboard", "typer"}
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``dsr``.

    Args:
        arguments: those of the command line, without the program's name; None: this process's.

    Returns:
        The exit code: 0, 1 for a run that failed, 2 for bad input, 130 when interrupted,
        141 when nobody reads the output to its end.
    """
    with warnings_on_stderr():
        try:
            return _run(sys.argv[1:] if arguments is None else list(arguments))
        except CommandError as error:
            return _complain(str(error), error.code)
        except SystemExit as error:
            if isinstance(error.__context__, BrokenPipeError):  # rich and typer exit with 1
                return BROKEN_PIPE
            raise
        except ImportError as error:
            missing = (error.name or "").partition(".")[0]
            if missing not in EXTRAS:
                raise
            return _complain(f"{missing} is not installed: {INSTALL}", FAILED)


def _run(arguments: list[str]) -> int:
    from dsr.cli.commands import USAGE_ERROR, command

    try:
        code = command().main(args=arguments, prog_name="dsr", standalone_mode=False)
    except USAGE_ERROR as error:
        text = re.sub(r"^Invalid value for '(-[\w-]+)':", r"\1:", error.format_message())
        return _complain(text, BAD_INPUT)
    if code == INTERRUPTED:
        return _complain(f"interrupted; {CONTINUE}", INTERRUPTED)
    return code if isinstance(code, int) else 0


def _complain(message: str, code: int) -> int:
    print("dsr:", " ".join(message.split()), file=sys.stderr)
    return code
