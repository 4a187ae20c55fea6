"""A run that is killed, at whatever moment, goes on by the same command and ends with the same bits."""

import pytest

from tests.faults.kills import Kills


def survive(trials, kills, seed):
    killed = Kills(trials, seed)
    killed.until(kills)
    print(f"kills by stage: {dict(killed.by_stage)}; met half-written: {dict(killed.met)}")
    assert trials.tally.faults == []
    return killed


def test_a_few_kills_lose_nothing(trials):
    survive(trials, 2, seed=0)


@pytest.mark.slow
def test_two_hundred_kills_lose_nothing(trials):
    killed = survive(trials, 200, seed=1)
    assert len(killed.by_stage) >= 5, "the kills should meet nearly all stages"
    assert {"checkpoint of stage 1", "checkpoint of stage 2", "export"} <= killed.met.keys()
