"""What people and schedulers do to a run: told to end, started twice, started with another config."""

import itertools
import random
import signal
import time

import pytest

from rule_jax import preemption
from tests.faults.harness import LONGEST, Trials, last_words, until

TOLD = "told to end (SIGTERM): all is saved, and the same command goes on from here"


def test_a_run_that_goes_on_refuses_another_one_and_another_config(trials, tmp_path):
    workdir = trials.halfway(tmp_path / "run", "boundary_optimization", "export")
    run = trials.start(workdir)
    until(run, lambda: "boundary_optimization: begins" in run.said)
    run.signal(signal.SIGSTOP)  # it is not to be done before the others have come
    second, other, over = (
        trials.start(workdir, *more) for more in ((), ("--config.reward.tau=0.4",), ("--overwrite",))
    )
    assert "config.reward.tau: 0.3 there, 0.4 now" in last_words(other, 2)
    for refused in (second, over):
        assert last_words(refused, 2).startswith(f"error: {workdir} is in use by process")
    run.signal(signal.SIGCONT)
    trials.settle("another run on the same workdir", workdir, run, times=3)


def terminate(trials, place, times):
    """SIGTERM at random moments, run after run, until so many were sent; each run is then let go to its end."""
    sent = 0
    for seed in itertools.count():
        chance, workdir, before = random.Random(seed), place / f"run{seed}", sent
        while not told(run := trials.start(workdir), chance.random() * trials.seconds / 4):
            sent += 1
        trials.settle(f"SIGTERM, {trials.recipe}", workdir, run, sent - before)
        if sent >= times:
            return


def told(run, seconds):
    """Sends SIGTERM after so many seconds of work. Returns whether the run was done before."""
    until(run, lambda: "writing to" in run.said)  # before that there is nothing to save, and nobody who listens
    time.sleep(seconds)
    run.signal(signal.SIGTERM)
    if run.wait(LONGEST) == 0:
        return True
    assert last_words(run, preemption.EXIT_CODE) == TOLD
    return False


@pytest.mark.slow
def test_sigterm_saves_and_ends(trials, tmp_path):
    terminate(trials, tmp_path, 9)


@pytest.fixture(scope="module")
def baselines(nursery, tally, tmp_path_factory):
    flags = ("--config.baseline.steps=6", "--config.baseline.batch=8", "--config.baseline.checkpoint_every=4")
    stages = "--config.stages=('prepare_data','baseline','evaluate','export')"
    place = tmp_path_factory.mktemp("baselines")
    return Trials(nursery, tally, place, stages, *flags, recipe="configs/baselines/npo_klr.py")


@pytest.mark.slow
def test_sigterm_saves_a_baseline_and_ends_it(baselines, tmp_path):
    terminate(baselines, tmp_path, 6)
