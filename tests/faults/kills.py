"""SIGKILL at random moments of a run, again and again, until it is done.

Half of the kills come after a random time, half when something that is written whole has been begun and is not done:
a checkpoint, an export, the world's model, a JSON file.
"""

import random
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.faults.harness import LONGEST, STAGES, Trials
from tests.faults.nursery import Running

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
HASTE = 4  # a run is given a random part of its time over this: a kill is to cost little of what was done


class Kills:
    """Kills of the runs of `trials`. by_stage: how many fell into each; met: what they found half-written."""

    def __init__(self, trials: Trials, seed: int):
        self.trials, self.chance = trials, random.Random(seed)
        self.by_stage: Counter[str] = Counter()
        self.met: Counter[str] = Counter()

    def until(self, kills: int) -> None:
        """One run after another, each killed until it is done, until so many kills were tried."""
        runs = 0
        while self.by_stage.total() < kills:
            workdir = self.trials.place / f"run{runs}"
            if runs % 2:  # its model is to be made anew, and killed in the making
                shutil.rmtree(self.trials.cache / "world", ignore_errors=True)
            runs += 1
            before = self.by_stage.total()
            fault = self._one(workdir, kills)
            self.trials.tally.add("SIGKILL", self.by_stage.total() - before, fault)
            if not fault:
                shutil.rmtree(workdir)

    def _one(self, workdir: Path, kills: int) -> str:
        """What is wrong with the run in the end."""
        while True:
            run = self.trials.start(workdir)
            if self.by_stage.total() < kills:
                self._disturb(run, workdir)
            if run.wait(LONGEST) != -9:
                return self.trials.verdict(workdir, run)
            stage = next((name for name in STAGES if not (workdir / "done" / f"{name}.json").exists()), "the end")
            self.by_stage[stage] += 1
            self.met.update(self._half_written(workdir))

    def _disturb(self, run: Running, workdir: Path) -> None:
        """Kills a run, after a random time or in the midst of writing; a run may be done before that."""
        what = self.chance.choice([*DRAFTS, WORLD])
        later = self.chance.random() * 0.03
        moment = time.monotonic() + self.chance.random() * self.trials.seconds / HASTE
        timed = self.chance.random() < 0.5
        before = set(self._drafts(workdir, what))
        while run.poll() is None:
            if time.monotonic() > moment if timed else set(self._drafts(workdir, what)) - before:
                time.sleep(0 if timed else later)
                run.signal(9)
                return
            time.sleep(0.002)

    def _drafts(self, workdir: Path, what: str) -> Iterator[Path]:
        if what == WORLD:
            return (self.trials.cache / "world").glob(".*")
        folder, pattern = DRAFTS[what]
        return (workdir / folder).glob(pattern)

    def _half_written(self, workdir: Path) -> Iterator[str]:
        whole = ("data", "answers", "figures", "report")  # whose files are renamed one by one
        yield from (what for what in (*DRAFTS, WORLD) if what not in whole and any(self._drafts(workdir, what)))
