"""Runs that are disturbed on purpose, and what must become of them: the bits of one that nothing disturbed.

A run is tried by a fault. It survived when the same command, once the fault is over, ends it with all that an
undisturbed run leaves, bit for bit; else it is lost. `Tally` counts both, by the kind of fault.
"""

import itertools
import json
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from configs import grpo
from tests.faults.nursery import Nursery, Running
from tests.runs import TINY, cache_in

CONFIG: Any = grpo.get_config()
STAGES: tuple[str, ...] = CONFIG.stages
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
LONGEST = 600  # seconds that any run may take on a busy machine


class Tally:
    """Faults by their kind: how many were tried, survived and lost, and the words for those that were lost."""

    def __init__(self) -> None:
        self.tried: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()
        self.faults: list[str] = []

    def add(self, kind: str, times: int, fault: str) -> None:
        """fault: what is wrong with the run that so many faults of a kind befell; "" when it survived them."""
        self.tried[kind] += times
        self.lost[kind] += times if fault else 0
        self.faults += [f"{kind}: {fault}"] if fault else []

    def table(self) -> Iterator[str]:
        """The lines of a table in Markdown."""
        yield from ("| fault | tried | survived | lost |", "|---|---|---|---|")
        for kind, tried in self.tried.items():
            yield f"| {kind} | {tried} | {tried - self.lost[kind]} | {self.lost[kind]} |"


class Trials:
    """Runs of one command that are all to become what `reference` is, a workdir that nothing disturbed.

    place: where they lie. more: flags on top of TINY and FEW. seconds: what that took.
    """

    def __init__(self, nursery: Nursery, tally: Tally, place: Path, *more: str, recipe: str = "configs/grpo.py"):
        self.nursery, self.tally, self.place = nursery, tally, place
        self.more, self.recipe = more, recipe
        self.cache = cache_in(place)
        self.reference = place / "reference"
        self.numbers = itertools.count()
        begun, run = time.monotonic(), self.start(self.reference)
        assert run.wait(LONGEST) == 0, run.said
        self.seconds = time.monotonic() - begun

    def start(self, workdir: Path, *more: str, recipe: str = "", oddity: tuple[str, float] | None = None) -> Running:
        """The command on a workdir, with more flags or another recipe, in a world that may be odd (see oddities.py)."""
        log = self.place / f"{workdir.name}.{next(self.numbers)}.log"
        flags = [f"--config={recipe or self.recipe}", f"--workdir={workdir}", f"--cache_dir={self.cache}"]
        return self.nursery.start(log, *flags, *TINY, *FEW, *self.more, *more, oddity=oddity)

    def halfway(self, workdir: Path, *undone: str) -> Path:
        """A copy of the reference that looks as if these stages had just not been finished; only training stages keep
        what they have, which is their checkpoints."""
        shutil.copytree(self.reference, workdir)
        for stage in undone:
            (workdir / "done" / f"{stage}.json").unlink()
            if not (workdir / stage / "checkpoints").exists():
                shutil.rmtree(workdir / stage)
        return workdir

    def untrained(self, workdir: Path) -> Path:
        """A copy of the reference whose training and export are to be done anew; what takes longer is done."""
        stages = ("rejection_steering", "boundary_optimization")
        self.halfway(workdir, *stages, "export")
        for stage in stages:
            shutil.rmtree(workdir / stage)
        return workdir

    def settle(self, kind: str, workdir: Path, run: Running | None = None, times: int = 1) -> str:
        """Lets a run, by default the same command once more, go to its end, and counts whether what it leaves is as it
        should be; returns what it said. Raises AssertionError for a run that is lost."""
        run = run or self.start(workdir)
        fault = self.verdict(workdir, run)
        self.tally.add(kind, times, fault)
        assert not fault, fault
        return run.said

    def verdict(self, workdir: Path, run: Running) -> str:
        """What is wrong with a run in the end; "" for nothing."""
        code = run.wait(LONGEST)
        fault = f"exit code {code}: {run.said[-600:]}" if code else "; ".join(differences(workdir, self.reference))
        return f"{workdir}: {fault}" if fault else ""


def last_words(run: Running, code: int) -> str:
    """The line with which a run ended that could not go on; libraries may have said more before it."""
    assert run.wait(LONGEST) == code, run.said
    return run.said.splitlines()[-1]


def until(run: Running, reached: Callable[[], bool]) -> None:
    """Returns when a run has come so far, which it must before it ends."""
    while not reached():
        assert run.poll() is None, run.said
        time.sleep(0.002)


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
