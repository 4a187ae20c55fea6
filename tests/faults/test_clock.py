"""The time of day is for people: no result depends on it."""

import itertools
import os
import random
import time

import pytest

from tests.faults.harness import LONGEST
from tests.faults.oddities import DAY_S


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_clock_that_jumps_while_a_run_is_killed_and_goes_on(trials, tmp_path, seed):
    chance, workdir, starts = random.Random(seed), trials.untrained(tmp_path / "run"), itertools.count()
    saved = workdir / "boundary_optimization" / "checkpoints" / str(chance.randint(1, 4))

    def start():
        return trials.start(workdir, oddity=("jumping_clock", seed + next(starts)))

    def gave_up(run):
        """Orbax measures its patience by the time of day: it may call a save too long, and the run ends in one line."""
        return run.poll() == 2 and "the clock was set meanwhile" in run.said.splitlines()[-1]

    run = start()
    while not saved.exists():
        run = start() if gave_up(run) else run
        assert run.poll() is None, run.said
        time.sleep(0.002)
    run.signal(9)
    run.wait(9)
    for file in workdir.rglob("*"):
        moment = file.stat().st_mtime + chance.uniform(-DAY_S, DAY_S)
        os.utime(file, (moment, moment))
    run = start()
    while run.wait(LONGEST) and gave_up(run):
        run = start()
    trials.settle("clock jumps", workdir, run, times=next(starts))
