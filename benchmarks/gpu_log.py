"""Runs commands for ``make test-gpu`` and ``make bench-gpu``: output to files, ends within time."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
TIMED_OUT = 124
CUT_OFF = -124
Step = tuple[str, str]  # what ran, how it ended


class Log:
    """Output goes to one file a step, and to the terminal unless ``quiet``.

    Args:
        folder: where the files go.
        limit_s: seconds after which whatever still runs is stopped, or None.
    """

    def __init__(self, folder: Path, limit_s: float | None = None) -> None:
        self.folder = folder
        self._end = None if limit_s is None else time.monotonic() + limit_s

    def run(
        self,
        name: str,
        command: list[str],
        *,
        quiet: bool = False,
        cap_s: float | None = None,
        **env: str,
    ) -> tuple[int, str]:
        """The exit code, and the output.

        ``TIMED_OUT`` if it was stopped at the end of all time, ``CUT_OFF`` if after its own
        ``cap_s`` seconds.
        """
        print(f"== {name}: {' '.join(command)}", flush=True)
        path = self.folder / f"{name}.log"
        with path.open("w") as file:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, **env},
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            code = self._wait(process, path, quiet, cap_s)
        output = path.read_text(errors="replace")
        if code != 0 and quiet:
            print(f"== {name} ended with {code}:\n{output[-6000:]}", flush=True)
        return code, output

    def _wait(
        self, process: subprocess.Popen[bytes], path: Path, quiet: bool, cap_s: float | None
    ) -> int:
        cap = None if cap_s is None else time.monotonic() + cap_s
        with path.open(errors="replace") as file:
            while True:
                ended = process.poll() is not None
                text = file.read()
                if text and not quiet:
                    print(text, end="", flush=True)
                if ended:
                    return process.returncode
                for end, code in ((self._end, TIMED_OUT), (cap, CUT_OFF)):
                    if end is not None and time.monotonic() > end:
                        os.killpg(process.pid, signal.SIGKILL)
                        process.wait()
                        return code
                time.sleep(0.1)


def ending(code: int, ok: str = "ok") -> str:
    """How a step ended, in words."""
    if code == 0:
        return ok
    if code == CUT_OFF:
        return "cut off at its share of the time; the rows until then are kept"
    return "FAILED: out of time" if code == TIMED_OUT else f"FAILED with exit code {code}"
