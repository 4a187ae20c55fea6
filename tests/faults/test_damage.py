"""A checkpoint whose files were damaged between two runs gives way to the one before, and nothing else is lost."""

import random
import shutil

import pytest

from tests.faults.damage import flip_a_bit, largest, truncate
from tests.faults.harness import until


def files_of(checkpoint):
    return sorted(file for file in checkpoint.rglob("*") if file.is_file())


def delete_half(checkpoint):
    for file in files_of(checkpoint)[::2]:
        file.unlink()


DAMAGES = {
    "truncated": lambda checkpoint: truncate(largest(checkpoint / "params")),
    "bit-flipped": lambda checkpoint: flip_a_bit(largest(checkpoint / "rest")),
    "half deleted": delete_half,
}


def test_a_truncated_checkpoint_gives_way(trials, tmp_path):
    workdir = trials.halfway(tmp_path / "run", "boundary_optimization", "export")
    truncate(largest(workdir / "boundary_optimization" / "checkpoints" / "6" / "params"))
    said = trials.settle("newest checkpoint truncated", workdir)
    assert "boundary_optimization: the checkpoint of step 6 is damaged (" in said
    assert "boundary_optimization: resuming after step 5" in said


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["rejection_steering", "boundary_optimization"])
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("seed", [0, 1])
def test_a_damaged_checkpoint_of_a_killed_run_gives_way(trials, tmp_path, stage, damage, seed):
    chance = random.Random(f"{stage} {damage} {seed}")
    workdir = trials.untrained(tmp_path / "run")
    saved = workdir / stage / "checkpoints" / str(chance.randint(2, 3))
    run = trials.start(workdir)
    until(run, saved.exists)
    run.signal(9)
    run.wait(9)
    newest = max((place for place in saved.parent.iterdir() if place.name.isdigit()), key=lambda place: int(place.name))
    DAMAGES[damage](newest)
    said = trials.settle(f"newest checkpoint {damage}", workdir)
    assert f"{stage}: the checkpoint of step {newest.name} is damaged (" in said
    assert f"{stage}: resuming after step {int(newest.name) - 1}" in said


@pytest.mark.slow
def test_damaged_programs_in_the_cache_are_compiled_again(trials, tmp_path):
    """A process that was killed while it kept a program leaves half of it."""
    shared = (trials.cache / "xla").readlink()
    (trials.cache / "xla").unlink()
    shutil.copytree(shared, trials.cache / "xla")
    for program in files_of(trials.cache / "xla"):
        program.write_bytes(program.read_bytes()[: program.stat().st_size // 2])
    try:
        trials.settle("compiled programs truncated", trials.untrained(tmp_path / "run"))
    finally:
        shutil.rmtree(trials.cache / "xla")
        (trials.cache / "xla").symlink_to(shared)
