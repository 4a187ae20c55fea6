"""A run that is killed, at whatever moment, goes on by the same command and ends with the same bits."""

import json

import pytest

from tests.faults.harness import Kills
from tests.faults.nursery import Nursery


def survive(tmp_path, kills, seed):
    with Nursery() as nursery:
        harness = Kills(nursery, tmp_path, seed)
        harness.until(kills)
    print(json.dumps(harness.report(), indent=1))
    assert harness.report()["lost"] == 0, harness.faults
    assert harness.survived >= kills
    return harness


def test_a_few_kills_lose_nothing(tmp_path):
    survive(tmp_path, 4, seed=0)


@pytest.mark.slow
def test_two_hundred_kills_lose_nothing(tmp_path):
    harness = survive(tmp_path, 200, seed=1)
    assert len(harness.tried) >= 5, "the kills should meet nearly all stages"
    assert {"checkpoint of stage 1", "checkpoint of stage 2", "export"} <= harness.met.keys()
