"""SIGKILL at random moments of a run, again and again, until it is done: is it then what it would have been?

Half of the kills come after a random time, half when something that is written whole has been begun and is not done:
a checkpoint, an export, the world's model, a JSON file. What is counted: kills that were tried, those that the run
survived (the same command went on and, once done, left the same bits) and those by which it was lost.
"""

import json
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.faults.nursery import Nursery, Running
from tests.test_end_to_end import TINY

STAGES = (
    "prepare_data",
    "rejection_steering",
    "boundary_optimization",
    "evaluate",
    "robustness",
    "export",
    "report",
)
FEW = [  # on top of TINY: little to compile, many checkpoints
    "--config.world.steps=6",
    "--config.world.schedule.warmup_steps=2",
    "--config.boundary_optimization.steps=6",
    "--config.boundary_optimization.checkpoint_every=1",
    "--config.rejection_steering.checkpoint_every=1",
    "--config.rejection_steering.dosage.refusal_rate=0.0",
    "--config.boundary_optimization.validation.every=0",
    "--config.boundary_optimization.validation.records=0",
    "--config.robustness.attacks=('role_play',)",
    "--config.robustness.weights=('int8',)",
    "--config.robustness.relearning.examples=()",
    "--config.robustness.drift_prompts=0",
    "--config.watch.tensorboard=off",
]
DRAFTS = {  # what a kill meets half-written: (folder of the workdir, pattern of names)
    "checkpoint of stage 1": ("rejection_steering/checkpoints", "*orbax-checkpoint-tmp*"),
    "checkpoint of stage 2": ("boundary_optimization/checkpoints", "*orbax-checkpoint-tmp*"),
    "export": (".", ".export.*"),
    "settings or times": (".", ".*.json.*.tmp"),
    "data": ("data", "*"),
    "answers": ("evaluate/base", "*"),
    "figures": ("robustness/base", "*"),
    "report": ("report", "*"),
    "end of a stage": ("done", ".*.tmp"),
}
WORLD = "world's model"
LONGEST = 600  # seconds that any run may take on a busy machine


def cache() -> Path:
    """Where programs and the world are kept from test to test."""
    import os

    return Path(tempfile.gettempdir()) / f"rule_jax_tests_faults_{os.getuid()}"


def arguments(workdir: Path, *more: str, cache_dir: Path | None = None) -> list[str]:
    return [
        "--config=configs/grpo.py",
        f"--workdir={workdir}",
        f"--cache_dir={cache_dir or cache()}",
        *TINY,
        *FEW,
        *more,
    ]


class Kills:
    """Kills of runs that are all to become what `reference` is, a workdir that nothing disturbed."""

    def __init__(self, nursery: Nursery, place: Path, seed: int):
        self.nursery, self.place = nursery, place
        self.chance = random.Random(seed)
        self.tried: Counter[str] = Counter()  # by stage
        self.met: Counter[str] = Counter()  # by what was half-written
        self.survived, self.lost, self.runs = 0, 0, 0
        self.faults: list[str] = []
        self.reference = place / "reference"
        self.seconds = self._undisturbed()

    def _undisturbed(self) -> float:
        """Seconds of the reference run, with warm caches."""
        for _ in range(2):
            shutil.rmtree(self.reference, ignore_errors=True)
            begun = time.monotonic()
            run = self.nursery.start(self.place / "reference.log", *arguments(self.reference))
            assert run.wait(LONGEST) == 0, run.log.read_text()
        return time.monotonic() - begun

    def until(self, kills: int) -> None:
        """One run after another, each killed until it is done, until so many kills were tried."""
        while sum(self.tried.values()) < kills:
            workdir = self.place / f"run{self.runs}"
            if self.runs % 2:  # its model is to be made anew, and killed in the making
                shutil.rmtree(cache() / "world", ignore_errors=True)
            self.runs += 1
            count, fault = self._one(workdir, kills)
            self.survived += 0 if fault else count
            self.lost += count if fault else 0
            if fault:
                self.faults.append(fault)
            else:
                shutil.rmtree(workdir)

    def _one(self, workdir: Path, kills: int) -> tuple[int, str]:
        """(kills of this run, what is wrong with it in the end)."""
        count = 0
        while True:
            log = self.place / f"run{self.runs}_{count}.log"
            run = self.nursery.start(log, *arguments(workdir))
            if sum(self.tried.values()) < kills:
                self._disturb(run, workdir)
            code = run.wait(LONGEST)
            if code == -9:
                stage = next((name for name in STAGES if not (workdir / "done" / f"{name}.json").exists()), "the end")
                self.tried[stage] += 1
                self.met.update(_half_written(workdir))
                count += 1
            elif code:
                return count, f"{workdir} after {count} kills: exit code {code}: {log.read_text()[-600:]}"
            else:
                return count, "; ".join(differences(workdir, self.reference))

    def _disturb(self, run: Running, workdir: Path) -> None:
        """Kills a run, after a random time or in the midst of writing; a run may be done before that."""
        what = self.chance.choice([*DRAFTS, WORLD])
        later = self.chance.random() * 0.03
        moment = time.monotonic() + self.chance.random() * self.seconds
        timed = self.chance.random() < 0.5
        before = set(_drafts(workdir, what))
        while run.poll() is None:
            if time.monotonic() > moment if timed else set(_drafts(workdir, what)) - before:
                time.sleep(0 if timed else later)
                run.signal(9)
                return
            time.sleep(0.002)

    def report(self) -> dict[str, Any]:
        """The figures."""
        return {
            "tried": sum(self.tried.values()),
            "survived": self.survived,
            "lost": self.lost,
            "runs": self.runs,
            "by stage": dict(self.tried),
            "met half-written": dict(self.met),
            "faults": self.faults,
        }


def _drafts(workdir: Path, what: str) -> Iterator[Path]:
    folder, pattern = (cache() / "world", ".*") if what == WORLD else (workdir / DRAFTS[what][0], DRAFTS[what][1])
    return folder.glob(pattern)


def _half_written(workdir: Path) -> Iterator[str]:
    for what in ("checkpoint of stage 1", "checkpoint of stage 2", "export", "settings or times", "end of a stage"):
        if any(_drafts(workdir, what)):
            yield what
    if any(_drafts(workdir, WORLD)):
        yield WORLD


SAME = (  # what a run leaves, bit for bit
    "config.json",
    "data/*.json*",
    "export/*",
    "evaluate/*/*",
    "robustness/*/*",
)


def differences(workdir: Path, reference: Path) -> Iterator[str]:
    """What a finished run left that another one of the same config did not, or left otherwise."""
    for pattern in SAME:
        theirs, ours = (
            {str(f.relative_to(place)): f.read_bytes() for f in place.glob(pattern) if f.is_file()}
            for place in (reference, workdir)
        )
        yield from (
            f"{name} is not as it should be"
            for name in theirs.keys() | ours.keys()
            if theirs.get(name) != ours.get(name)
        )
    if steps(workdir) != steps(reference):
        yield "logs/metrics.jsonl has other numbers"
    yield from (f"{left.relative_to(workdir)} was left" for left in workdir.rglob("*") if _is_left(left.name))


def _is_left(name: str) -> bool:
    return "orbax-checkpoint-tmp" in name or (name.startswith(".") and name != ".lock")


def steps(workdir: Path) -> dict[Any, Any]:
    """The last line of each step of training, without what a clock said."""
    lines = [json.loads(line) for line in (workdir / "logs" / "metrics.jsonl").read_text().splitlines()]
    kept = [line for line in lines if line["stage"] != "pretraining"]
    return {
        (line["stage"], line["step"]): {k: v for k, v in line.items() if "time/" not in k and "per_s" not in k}
        for line in kept
    }
