"""What a disk refuses ends a run with one line; once it is mended, the same command goes on, and nothing is lost."""

import shutil

import pytest

from tests.faults.disks import read_only, small_disk
from tests.faults.harness import LONGEST, last_words

AMPLE = 2**30


def blocks(folder):
    """Bytes that a folder takes of a disk that gives pages of 4096 away."""
    return sum(-(-file.stat().st_size // 4096) * 4096 for file in folder.rglob("*"))


def snapshot(folder):
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file() and file.name != ".lock"}


@pytest.mark.slow
def test_a_disk_that_is_full_before_a_checkpoint_is_saved(trials, tmp_path):
    before = trials.halfway(tmp_path / "before", "boundary_optimization", "export")
    checkpoints = before / "boundary_optimization" / "checkpoints"
    room = blocks(checkpoints / "6") // 2
    for step in ("5", "6"):
        shutil.rmtree(checkpoints / step)
    with small_disk(tmp_path / "run", AMPLE) as resize:
        shutil.copytree(before, tmp_path / "run", dirs_exist_ok=True)
        resize(blocks(before) + room)
        assert last_words(trials.start(tmp_path / "run"), 2) == (
            f"error: {tmp_path / 'run' / 'boundary_optimization' / 'checkpoints'}: a checkpoint cannot be written "
            "(No space left on device). Those before it are whole: mend that, then the same command goes on from there"
        )
        resize(AMPLE)
        trials.settle("disk full", tmp_path / "run")


@pytest.mark.slow
def test_a_disk_of_any_size_that_is_too_small(trials, tmp_path):
    """Full earlier and later in the run's training, and each time made a bit larger."""
    before = trials.untrained(tmp_path / "before")
    taken, needed = blocks(before), blocks(trials.reference)
    for part in range(12):
        with small_disk(tmp_path / "run", AMPLE) as resize:
            shutil.copytree(before, tmp_path / "run", dirs_exist_ok=True)
            resize(room := taken + (needed - taken) * part // 12)
            run, times = trials.start(tmp_path / "run"), 0
            while run.wait(LONGEST):
                assert last_words(run, 2).startswith("error: ")
                times += 1
                resize(room + times * needed // 8)
                run = trials.start(tmp_path / "run")
            trials.settle("disk full", tmp_path / "run", run, times)


@pytest.mark.slow
@pytest.mark.parametrize("kilobytes", [60, 120, 180])
def test_a_limit_to_the_size_of_files(trials, tmp_path, kilobytes):
    workdir = trials.untrained(tmp_path / "run")
    line = last_words(trials.start(workdir, oddity=("short_files", kilobytes * 1000)), 2)
    assert line.startswith("error: ")
    assert "File too large" in line
    trials.settle("files limited in size", workdir)


@pytest.mark.slow
def test_a_cache_without_room_for_the_worlds_model(trials, tmp_path):
    workdir = trials.untrained(tmp_path / "run")
    (workdir / "done" / "prepare_data.json").unlink()
    with small_disk(trials.cache / "world", 100_000) as resize:  # the one that is there lies under it
        assert last_words(trials.start(workdir), 2).startswith("error: ")
        resize(AMPLE)
        trials.settle("disk full", workdir)


@pytest.mark.slow
@pytest.mark.parametrize("undone", [("boundary_optimization", "export"), ("evaluate",), ("export",), ("report",)])
def test_a_workdir_that_can_only_be_read(trials, tmp_path, undone):
    workdir = trials.halfway(tmp_path / "run", *undone)
    before = snapshot(workdir)
    with read_only(workdir):
        line = last_words(trials.start(workdir), 2)
    assert line.startswith(f"error: {workdir} cannot be written: Read-only file system")
    assert snapshot(workdir) == before
    trials.settle("workdir read-only", workdir)
