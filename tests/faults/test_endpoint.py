"""An endpoint that rates answers and is killed on the way: the run waits for it in good order, with nothing lost."""

import contextlib
import socket
import subprocess
import sys

import pytest

from tests.fake_llm import KEY
from tests.faults.harness import Trials, last_words, until
from tests.faults.nursery import ROOT, Nursery
from tests.test_processes import free_port


@contextlib.contextmanager
def judge(port):
    """A server in a process of its own, that can be killed."""
    process = subprocess.Popen([sys.executable, "-m", "tests.fake_llm", str(port)], cwd=ROOT)
    try:
        while not listens(port):
            assert process.poll() is None
        yield process
    finally:
        process.kill()
        process.wait()


def listens(port):
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def judged(tally, tmp_path_factory):
    """(runs whose reward asks an endpoint, its port, the journal of its replies)."""
    place, port = tmp_path_factory.mktemp("judged"), free_port()
    llm = "--config.reward.terms.judge.llm"
    flags = [f"{llm}.base_url=http://127.0.0.1:{port}/v1", f"{llm}.api_key_env=FAKE_KEY", f"{llm}.retries=1"]
    flags += [f"{llm}.budget.money=0.0", f"--config.reward.terms.judge.journal={place / 'judge.jsonl'}"]
    flags += ["--config.stages=('prepare_data','rejection_steering','boundary_optimization','export')"]
    with Nursery(FAKE_KEY=KEY) as nursery:
        with judge(port):
            trials = Trials(nursery, tally, place, *flags, recipe="configs/grpo_judge.py")
        yield trials, port, place / "judge.jsonl"


@pytest.mark.slow
@pytest.mark.parametrize("replies", [1, 20, 50, 80])
def test_an_endpoint_that_is_killed_costs_nothing(judged, tmp_path, replies):
    trials, port, journal = judged
    journal.unlink()
    with judge(port) as server:
        run = trials.start(tmp_path / "run")
        until(run, lambda: journal.exists() and journal.read_bytes().count(b"\n") >= replies)
        server.kill()
        line = last_words(run, 2)
    assert f"http://127.0.0.1:{port}/v1 cannot be reached" in line
    assert "replies are kept; the same command goes on from there" in line
    assert "cannot be reached" in last_words(trials.start(tmp_path / "run"), 2)  # not yet
    with judge(port):
        trials.settle("reward endpoint killed", tmp_path / "run")
