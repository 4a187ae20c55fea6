"""The time of day is for people: no result depends on it."""

import os
import random

import pytest

from tests.faults.harness import LONGEST, until
from tests.faults.oddities import DAY_S


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_clock_that_jumps_while_a_run_is_killed_and_goes_on(trials, tmp_path, seed):
    chance, workdir = random.Random(seed), trials.untrained(tmp_path / "run")
    run = trials.start(workdir, oddity=("jumping_clock", seed))
    until(run, (workdir / "boundary_optimization" / "checkpoints" / str(chance.randint(1, 4))).exists)
    run.signal(9)
    run.wait(9)
    for file in workdir.rglob("*"):
        moment = file.stat().st_mtime + chance.uniform(-DAY_S, DAY_S)
        os.utime(file, (moment, moment))
    times = 1
    while (again := trials.start(workdir, oddity=("jumping_clock", seed + times))).wait(LONGEST) == 2:
        assert "the clock was set meanwhile" in again.said.splitlines()[-1]  # Orbax measures its patience by it
        times += 1
    trials.settle("clock jumps", workdir, again, times)
