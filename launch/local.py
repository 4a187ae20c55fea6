"""Runs the points of a sweep on this machine: several processes side by side, each with cores or devices of its own.

What became of a point stands in its files alone, so a sweep that was killed goes on: finished points are skipped, the
others resume. A lock that a run's process inherits keeps two sweeps, or a run that outlived its sweep, off one place.
"""

import dataclasses
import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Literal

from launch import sharing
from launch.points import Point
from rule_jax import files

State = Literal["done", "failed", "begun", "waiting"]
POLL_S = 0.2


@dataclasses.dataclass(frozen=True)
class Slot:
    """Where one process runs. cores: of the CPU, () for all. devices: what CUDA_VISIBLE_DEVICES is set to, or None."""

    cores: tuple[int, ...] = ()
    devices: str | None = None

    def environment(self) -> dict[str, str]:
        own = {} if self.devices is None else {"CUDA_VISIBLE_DEVICES": self.devices}
        return {**os.environ, **own}


@dataclasses.dataclass
class _Running:
    point: Point
    process: subprocess.Popen
    lock: IO[str]
    started: float


class Places:
    """The files of a sweep: each point's run, log and failure, below one folder. donors: folders of other sweeps, whose
    runs its own may take over from."""

    def __init__(self, workdir: Path, donors: Sequence[Path] = ()):
        self.workdir, self.donors = workdir, donors

    def absolute(self) -> "Places":
        """The same, wherever a process is."""
        return Places(self.workdir.absolute(), [donor.absolute() for donor in self.donors])

    def run(self, point: Point) -> Path:
        return self.workdir / point.name

    def runs(self) -> list[Path]:
        """All runs that have been begun, those of the donors too."""
        return [c.parent for folder in (self.workdir, *self.donors) for c in sorted(folder.glob("*/*/config.json"))]

    def log(self, point: Point) -> Path:
        return self.workdir / "_logs" / f"{point.digest}.log"

    def failure(self, point: Point) -> Path:
        return self.workdir / "_failed" / f"{point.digest}.json"

    def state(self, point: Point) -> State:
        place = self.run(point)
        if (place / "config.json").exists():
            if all((place / "done" / f"{stage}.json").exists() for stage in point.settings["stages"]):
                return "done"
            return "failed" if self.failure(point).exists() else "begun"
        return "failed" if self.failure(point).exists() else "waiting"

    def error(self, point: Point) -> str:
        """In one line, why a point failed."""
        return str(files.read_json(self.failure(point))["error"])

    def seconds(self, point: Point) -> float | None:
        """What the stages of a finished point took; None of any other."""
        if self.state(point) != "done":
            return None
        return sum(files.read_json(self.run(point) / "time.json")["time_s"].values())

    def lock(self, point: Point) -> IO[str] | None:
        """The open lock of a point, which closing it lets go; None where another process has it."""
        path = self.workdir / "_locks" / point.digest
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            return None
        return file


class Runner:
    """Runs points on slots, as many at a time. passed_on: further flags of the main command."""

    def __init__(self, places: Places, slots: Sequence[Slot], passed_on: Sequence[str] = ()):
        self.places, self.slots, self.passed_on = places, slots, list(passed_on)
        self.running: dict[int, _Running] = {}
        self.took: list[float] = []

    def __call__(self, points: Sequence[Point], *, retry: bool = False) -> None:
        """Returns when every point is done or has failed. retry: those that failed before are tried again."""
        self.points = list(points)
        if not self.points:
            return
        if retry:
            for point in points:
                self.places.failure(point).unlink(missing_ok=True)
        waiting = [p for p in points if self.places.state(p) not in ("done", "failed")]
        self._say(f"{len(points) - len(waiting)} of {len(points)} points are done or have failed", waiting)
        try:
            while waiting or self.running:
                self._reap(waiting)
                free = [number for number in range(len(self.slots)) if number not in self.running]
                for number in free:
                    if not self._start_one(number, waiting):
                        break
                time.sleep(POLL_S)
        finally:  # of an interrupt: the runs resume where they are
            for run in self.running.values():
                run.process.kill()
                run.process.wait()
                run.lock.close()

    def _start_one(self, number: int, waiting: list[Point]) -> bool:
        """Starts the first of the waiting points that may begin; False where none may: what they begin from is being
        made, or a run that outlived an earlier sweep is at them still."""
        for point in waiting:
            if self._beginning_is_made(point):
                continue
            lock = self.places.lock(point)
            if lock is None:
                continue
            waiting.remove(point)
            self._take_over(point)
            if self.places.state(point) == "done":  # by another sweep
                lock.close()
                self._say(f"{point.name}: taken over", waiting)
            else:
                self._start(number, point, lock)
            return True
        return False

    def _take_over(self, point: Point) -> None:
        """Begins the point's run with what the run that has most in common with it has done, unless it has begun."""
        if self.places.state(point) == "waiting" and (donor := sharing.closest(self.places.runs(), point.settings)):
            sharing.give(donor, self.places.run(point), point.settings)

    def _start(self, number: int, point: Point, lock: IO[str]) -> None:
        place, log = self.places.run(point), self.places.log(point)
        log.parent.mkdir(parents=True, exist_ok=True)
        slot = self.slots[number]
        command = [sys.executable, "-m", "rule_jax.main", *point.arguments(place), *self.passed_on]
        with log.open("a", encoding="utf-8") as out:
            process = subprocess.Popen(
                command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, env=slot.environment(),
                pass_fds=(lock.fileno(),),
            )  # fmt: skip
        if slot.cores:
            os.sched_setaffinity(process.pid, slot.cores)
        self.running[number] = _Running(point, process, lock, time.monotonic())
        self._say(f"{point.name}: begins", None)

    def _reap(self, waiting: Sequence[Point]) -> None:
        for number, run in [*self.running.items()]:
            code = run.process.poll()
            if code is None:
                continue
            del self.running[number]
            seconds = time.monotonic() - run.started
            if code == 0:
                self.took.append(seconds)
                self._say(f"{run.point.name}: done in {seconds:.0f} s", waiting)
            else:
                error = _last_line(self.places.log(run.point))
                record = {"point": run.point.name, "exit_code": code, "error": error}
                files.write_json(self.places.failure(run.point), record)
                self._say(f"{run.point.name}: FAILED with exit code {code}: {error}", waiting)
            run.lock.close()

    def _beginning_is_made(self, point: Point) -> bool:
        """Whether a run that is under way makes the model that this one begins from too: it is waited for."""
        return any(
            origin(run.point.settings) == origin(point.settings)
            and not (self.places.run(run.point) / "done" / "prepare_data.json").exists()
            for run in self.running.values()
        )

    def _say(self, what: str, waiting: Sequence[Point] | None) -> None:
        counts = ""
        if waiting is not None:
            left = sum(self.took) / len(self.took) * len(waiting) / len(self.slots) if self.took else None
            failed = sum(self.places.state(point) == "failed" for point in self.points)
            done = len(self.points) - len(waiting) - len(self.running) - failed
            about = "" if left is None or not waiting else f", about {left / 60:.0f} min left"
            counts = f" ({done}/{len(self.points)} done, {len(self.running)} running, {failed} failed{about})"
        print(f"{time.strftime('%H:%M:%S')} {what}{counts}", file=sys.stderr, flush=True)


def slots(processes: int, cores: Sequence[int], devices: Sequence[str]) -> list[Slot]:
    """So many slots among which the cores are dealt out in runs, or one a device."""
    if devices:
        return [Slot(devices=device) for device in devices]
    each = len(cores) // processes
    return [Slot(cores=tuple(cores[number * each : (number + 1) * each])) for number in range(processes)]


def origin(settings: Mapping[str, Any]) -> list[Any]:
    """What the model that a run begins from is made of."""
    data = settings["data"]["world"]
    made_of = [data[name] for name in ("domain", "people", "countries")]
    return [settings["seed"], settings["model"]["path"], settings["world"], *made_of]


def _last_line(log: Path) -> str:
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1].removeprefix("error: ") if lines else "it said nothing"
