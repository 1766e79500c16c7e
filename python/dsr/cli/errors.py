"""What goes wrong in a command: exit codes, and warnings of the library as lines on stderr."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130
BROKEN_PIPE = 141  # what a shell shows for a program that SIGPIPE ended


class CommandError(Exception):
    """Ends a command with a message and an exit code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


@contextmanager
def bad_input(flags: Mapping[str, str] | None = None) -> Iterator[None]:
    """Turn an error about a setting, whose text starts with its name, into one about its flag.

    Args:
        flags: flags that are not spelled like their setting.
    """
    try:
        yield
    except (ValueError, TypeError) as error:
        setting, colon, rest = str(error).partition(":")
        option, _, name = setting.partition(".")
        if option == "options":
            flag = f"-o {name}".strip()
        elif re.fullmatch(r"\w+", setting):
            flag = (flags or {}).get(setting, "--" + setting.replace("_", "-"))
        else:
            flag = setting
        raise CommandError(f"{flag}{colon}{rest}", BAD_INPUT) from error


@contextmanager
def failures() -> Iterator[None]:
    """Turn what can go wrong while training into one line."""
    try:
        yield
    except (RuntimeError, OSError) as error:
        raise CommandError(str(error), FAILED) from error


class _Handler(logging.Handler):
    """Prints warnings of the library, or keeps them back while ``held`` is a list."""

    held: list[str] | None = None

    def emit(self, record: logging.LogRecord) -> None:
        line = f"dsr: {record.levelname.lower()}: {record.getMessage()}"
        if self.held is None:
            print(line, file=sys.stderr)
        else:
            self.held.append(line)


_handler = _Handler(logging.WARNING)


@contextmanager
def warnings_on_stderr() -> Iterator[None]:
    """Print what the library logs, a line each."""
    loggers = [logging.getLogger(name) for name in ("dsr", "dsr_kernels")]
    for logger in loggers:
        logger.addHandler(_handler)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(_handler)


@contextmanager
def warnings_held_back() -> Iterator[None]:
    """Print warnings only if the body succeeds: an error of its own tells the story already."""
    _handler.held = []
    try:
        yield
        for line in _handler.held:
            print(line, file=sys.stderr)
    finally:
        _handler.held = None
