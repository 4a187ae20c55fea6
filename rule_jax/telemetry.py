"""What a person sees of a run: progress bars on a terminal, plain lines in a log, numbers in a file."""

import contextlib
import json
import logging
import resource
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from absl import logging as absl_logging
from tqdm import tqdm

from rule_jax import processes
from rule_jax.errors import UserError
from rule_jax.trackers import Tracker

T = TypeVar("T")
LOGGER = logging.getLogger("rule_jax")
LINE_EVERY_S = 10.0  # a log, unlike a terminal, gets a line of progress at most this often


def info(message: str) -> None:
    """One line to the log, above any progress bar."""
    with tqdm.external_write_mode(file=sys.stderr):
        LOGGER.info(message)


def start_logging(directory: Path | None = None) -> None:
    """Lines go to the terminal and, where there is a directory, to the end of its `run.log`.

    Libraries stay silent below warnings. Of the processes of a run only the first speaks.
    """
    LOGGER.propagate = False
    absl_logging.set_verbosity(absl_logging.WARNING)
    absl_logging.get_absl_logger().addFilter(_raised_too)
    if not processes.first():
        LOGGER.setLevel(logging.WARNING)
        return
    LOGGER.setLevel(logging.INFO)
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if directory:
        directory.mkdir(parents=True, exist_ok=True)
        handlers.append(_RunLog(directory / "run.log", encoding="utf-8"))
    for handler in handlers:
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", datefmt="%H:%M:%S"))
        LOGGER.addHandler(handler)


def _raised_too(record: logging.LogRecord) -> bool:
    """False for the stacks that Orbax logs of errors which it also raises."""
    return not (record.exc_info and "orbax" in Path(record.pathname).parts)


class _RunLog(logging.FileHandler):
    """A disk that refuses a line is not complained of here: it refuses what else the run writes, and that ends it."""

    def handleError(self, record: logging.LogRecord) -> None:
        pass


def peak_rss_bytes() -> int:
    """The most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


class Progress:
    """Progress of `total` steps, `done` of which were done before: a bar on a terminal, a line now and then elsewhere.
    The first step compiles: a line says how long it took, and reckons rate and time left by those after it.

    with Progress("boundary_optimization", 40) as bar: ...; bar.advance({"reward": 0.9})
    """

    def __init__(self, name: str, total: int, done: int = 0, unit: str = "steps", silent: bool = False):
        self.name, self.total, self.done, self.unit = name, total, done, unit
        self.since = self.last_line = time.monotonic()  # since: the beginning, then the end of the first step
        self.fresh = 0
        self.silent = silent
        self.terminal = sys.stderr.isatty() and processes.first() and not silent
        self.bar = tqdm(
            total=total, initial=done, desc=name, unit=unit, disable=not self.terminal, dynamic_ncols=True, leave=True
        )

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *exc: object) -> None:
        self.bar.close()

    def advance(self, shown: Mapping[str, float] | None = None) -> None:
        shown = shown or {}
        self.done += 1
        self.fresh += 1
        if self.silent:
            return
        if self.terminal:
            self.bar.set_postfix({k: f"{v:.3g}" for k, v in shown.items()}, refresh=False)
            self.bar.update(1)
            return
        now = time.monotonic()
        seconds = max(now - self.since, 1e-9)
        if self.fresh == 1:
            self.since, pace = now, f"the first in {seconds:.1f} s"
        else:
            rate = (self.fresh - 1) / seconds
            pace = f"{rate:.2f}/s, {(self.total - self.done) / rate:.0f} s left"
        if self.done < self.total and now - self.last_line < LINE_EVERY_S:
            return
        self.last_line = now
        values = "".join(f" {k}={v:.3g}" for k, v in shown.items())
        info(f"{self.name}: {self.done}/{self.total} {self.unit}, {pace}{values}")


class Stopwatch:
    """Where the time of a step goes: lap("rollout") ends a lap that began with the one before."""

    def __init__(self) -> None:
        self.last = time.monotonic()
        self.seconds: dict[str, float] = {}

    def lap(self, name: str) -> None:
        now = time.monotonic()
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self.last
        self.last = now

    def facts(self, tokens: float) -> dict[str, float]:
        """time/<lap>_s, and for a step that dealt with so many tokens tokens_per_s and tokens_per_s/<lap>."""
        times = {f"time/{name}_s": value for name, value in self.seconds.items()}
        rates = {f"tokens_per_s/{name}": tokens / max(value, 1e-9) for name, value in self.seconds.items()}
        return {**times, "tokens_per_s": tokens / max(sum(self.seconds.values()), 1e-9), **rates}


def watched(name: str, items: Sequence[T], unit: str) -> Iterator[T]:
    """The items, one by one, under a progress bar."""
    with Progress(name, len(items), unit=unit) as bar:
        for item in items:
            yield item
            bar.advance()


class MetricsFile:
    """Appends one JSON object per step to a file, and hands it on to `trackers`. A resumed run repeats steps; the last
    line of a step counts. path: None on processes that leave it to another one. Raises UserError when the disk refuses.
    """

    def __init__(self, path: Path | None, stage: str, trackers: Sequence[Tracker] = ()):
        self.path, self.stage, self.trackers = path, stage, trackers
        self.file = None
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
            _drop_torn_line(path)
            self.file = path.open("a", encoding="utf-8")

    def __enter__(self) -> "MetricsFile":
        return self

    def __exit__(self, *exc: object) -> None:
        if self.file:
            with contextlib.suppress(OSError):  # what it still holds was refused before, and told
                self.file.close()
        for tracker in self.trackers:
            tracker.close()

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        if self.file:
            try:
                self.file.write(json.dumps({"stage": self.stage, "step": step, **metrics}) + "\n")
                self.file.flush()
            except OSError as error:
                raise UserError(
                    f"{self.path} cannot be written: {error.strerror}. Make room, and start the same command again."
                ) from None
        for tracker in self.trackers:
            tracker.write(step, metrics)


def _drop_torn_line(path: Path) -> None:
    """A process that was killed in the middle of a line leaves its beginning; the step will be repeated."""
    if path.exists():
        with path.open("r+b") as file:
            content = file.read()
            file.truncate(content.rfind(b"\n") + 1)
