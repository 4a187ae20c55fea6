"""One process from which all disturbed runs are forked, one undisturbed run, and one table of what came of them."""

import pytest

from tests.faults.harness import Tally, Trials
from tests.faults.nursery import Nursery

TALLY = pytest.StashKey[Tally]()


@pytest.fixture(scope="session")
def nursery():
    with Nursery() as nursery:
        yield nursery


@pytest.fixture(scope="session")
def tally(pytestconfig):
    return pytestconfig.stash.setdefault(TALLY, Tally())


@pytest.fixture(scope="session")
def trials(nursery, tally, tmp_path_factory):
    """Runs of configs/grpo.py, all stages."""
    return Trials(nursery, tally, tmp_path_factory.mktemp("trials"))


def pytest_terminal_summary(terminalreporter, config):
    tally = config.stash.get(TALLY, None)
    if tally and tally.tried:
        terminalreporter.section("faults")
        for line in (*tally.table(), *tally.faults):
            terminalreporter.write_line(line)
