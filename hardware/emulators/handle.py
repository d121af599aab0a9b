"""An emulated controller in a process of its own, seen from outside: started, asked, ended."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


class EmulatorError(Exception):
    """An emulator that could not be started, or was asked for what it cannot do."""


class Emulator:
    """A handle of the process; as a context manager it starts and ends it.

    The process prints a line of JSON with its address, then answers every line {"do": ..., "value": ...} of its stdin with one of JSON;
    "refused" in an answer says why not. It ends when its stdin does.
    """

    def __init__(self, module: str, *arguments: str) -> None:
        """module: is run as `python -m module arguments`."""
        self._command = [sys.executable, "-m", module, *arguments]
        self._process: subprocess.Popen[str] | None = None
        self.address = ""
        """The loopback address that it listens on, once started."""

    def __enter__(self) -> Emulator:
        self._process = subprocess.Popen(self._command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            self.address = self._read()["address"]
        except EmulatorError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process:
            if self._process.stdin:
                self._process.stdin.close()
            self._process.wait(10)
            if self._process.stdout:
                self._process.stdout.close()

    def do(self, what: str, value: Any = None) -> dict[str, Any]:
        """Carries out a fault or a person's deed, a public method of what runs there; returns what `look` does. Raises EmulatorError."""
        if not self._process or not self._process.stdin:
            raise EmulatorError("the emulator is not started")
        self._process.stdin.write(json.dumps({"do": what, "value": value}) + "\n")
        self._process.stdin.flush()
        return self._read()

    def look(self) -> dict[str, Any]:
        """The truth: joints, what the controller is about, counts of commands and clients."""
        return self.do("look")

    def _read(self) -> dict[str, Any]:
        line = self._process.stdout.readline() if self._process and self._process.stdout else ""
        if not line:
            raise EmulatorError("the emulator ended; its words are on stderr")
        answer = json.loads(line)
        if "refused" in answer:
            raise EmulatorError(answer["refused"])
        return answer
