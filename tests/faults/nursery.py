"""Runs of the main command, quickly begun: one process imports everything once and forks for each of them.

A forked run is a process as any other: its own devices, its own signals, and SIGKILL ends it wherever it is.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.runs import HASTILY, ROOT

IMPORTS = (
    "matplotlib.pyplot",
    "orbax.checkpoint",
    "rule_jax.main",
    "rule_jax.reporting.page",
    "sklearn.metrics",
    "tensorboardX",
    "transformers.models.auto.tokenization_auto",
)


class Running:
    """A run that was begun. log: where its output goes."""

    def __init__(self, nursery: "Nursery", pid: int, log: Path):
        self.nursery, self.pid, self.log = nursery, pid, log
        self.code: int | None = None

    @property
    def said(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        if self.code is None:
            self.code = self.nursery.ask({"poll": self.pid})
        return self.code

    def signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def wait(self, seconds: float) -> int:
        """The exit code; a run that takes longer is killed, and fails the test."""
        deadline = time.monotonic() + seconds
        while self.poll() is None:
            if time.monotonic() > deadline:
                self.signal(9)
                raise AssertionError(f"still running after {seconds} s:\n{self.said}")
            time.sleep(0.005)
        return self.code  # type: ignore[return-value]


class Nursery:
    """Use as a context. environment: of all its runs."""

    def __init__(self, **environment: str):
        own = {name: value for name, value in os.environ.items() if not name.startswith(("XLA_", "JAX_"))}
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", __file__],
            cwd=ROOT,
            env={**own, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", "XLA_FLAGS": HASTILY, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> "Nursery":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stdin.close()  # type: ignore[union-attr]
        self.process.wait()
        self.process.stdout.close()  # type: ignore[union-attr]

    def ask(self, question: dict[str, Any]) -> Any:
        print(json.dumps(question), file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())  # type: ignore[union-attr]

    def start(self, log: Path, *arguments: str, oddity: tuple[str, float] | None = None) -> Running:
        """python -m rule_jax.main with these arguments. oddity: (a function of oddities.py, its argument)."""
        return Running(self, self.ask({"arguments": arguments, "log": str(log), "oddity": oddity}), log)


def _serve() -> None:
    """Answers each line: {"arguments", "log", "oddity"} with the id of a process, {"poll": id} with its exit code."""
    import importlib

    for name in IMPORTS:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    codes: dict[int, int | None] = {}  # None: of one that runs
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        question = json.loads(line)
        if "poll" in question:
            pid = question["poll"]
            if codes[pid] is None:
                ended, status = os.waitpid(pid, os.WNOHANG)
                if ended:
                    codes[pid] = os.waitstatus_to_exitcode(status)
            answer = codes[pid]
        else:
            answer = os.fork()
            if not answer:
                _run(question)
            codes[answer] = None
        print(json.dumps(answer), file=answers, flush=True)
    for pid in (pid for pid, code in codes.items() if code is None):  # of tests that failed
        os.kill(pid, signal.SIGKILL)


def _run(question: dict[str, Any]) -> None:
    """The rest of a forked process."""
    from rule_jax import main
    from tests.faults import oddities

    out = os.open(question["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(out, 1)
    os.dup2(out, 2)
    sys.argv = ["rule_jax.main", *question["arguments"]]
    code = 1
    try:
        if question["oddity"]:
            name, number = question["oddity"]
            vars(oddities)[name](number)
        main.console()
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)  # the parent's own clean-up is not this process's


if __name__ == "__main__":
    _serve()
