"""launch.slurm: points as jobs of submitit. Here jobs are real processes of this machine, and Slurm's own commands are
scripts that write down what they are told."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from launch import local, points, slurm
from rule_jax import files
from rule_jax.errors import UserError
from tests.runs import ROOT, TINY, environment

GRPO = str(ROOT / "configs" / "grpo.py")


def resolved(*overrides):
    return points.resolve(GRPO, overrides, "sweep.py")


BAD = {"label": "bad", "boundary_optimization.samples": 1}


@pytest.fixture
def at_the_root(monkeypatch):
    """Jobs start where the sweep was started."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(slurm, "POLL_S", 0.1)


def test_a_job_s_point_leaves_the_files_that_a_local_one_leaves(tmp_path, at_the_root, capsys):
    (bad,) = resolved(BAD)
    places = local.Places(tmp_path)
    run = slurm.Runner(places, {"timeout_min": 5}, cluster="local")
    run([bad])
    assert places.state(bad) == "failed"
    assert "samples=1" in places.error(bad)
    assert "samples=1" in places.log(bad).read_text()
    first = files.read_json(tmp_path / "_jobs" / f"{bad.digest}.json")
    assert first["point"] == bad.name
    run([bad])  # what failed is left alone
    assert files.read_json(tmp_path / "_jobs" / f"{bad.digest}.json") == first
    assert "0 jobs are under way, 0 are submitted" in capsys.readouterr().err


def commands(folder: Path, **bodies: str) -> str:
    """A PATH that begins with a folder of these commands."""
    for name, body in bodies.items():
        (folder / name).write_text(f"#!/bin/bash\n{body}\n")
        (folder / name).chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def test_slurm_gets_an_array_of_jobs_and_one_that_dies_is_a_failure(tmp_path, at_the_root, monkeypatch):
    said = tmp_path / "said"
    said.mkdir()
    (tmp_path / "bin").mkdir()
    states = 'echo "JobID|State|NodeList"; for i in 0 1; do echo "77_$i|NODE_FAIL|n1"; done'
    submit = f'cp "$1" {said}/script; echo "Submitted batch job 77"'
    monkeypatch.setenv("PATH", commands(tmp_path / "bin", srun="exit 1", sbatch=submit, sacct=states))
    places = local.Places(tmp_path / "sweep")
    found = resolved({"label": "a"}, {"label": "b"} | {"seed": 1})
    options = {"time": 90, "gpus_per_node": 1, "partition": "gpu", "array_parallelism": 1}
    slurm.Runner(places, options)(found)
    script = (said / "script").read_text()
    told = dict(re.findall(r"^#SBATCH --([\w-]+)=(\S+)$", script, re.MULTILINE))
    assert (told["time"], told["gpus-per-node"], told["partition"]) == ("90", "1", "gpu")
    assert (told["array"], told["job-name"]) == ("0-1%1", "rule_jax")
    assert "submitit.core._submit" in script
    for number, point in enumerate(found):
        assert places.state(point) == "failed"
        assert f"its job 77_{number} ended (NODE_FAIL) before it did" in places.error(point)


@pytest.mark.parametrize(
    ("options", "path", "words"),
    [
        ({"gpu": 1}, True, "Unknown argument 'gpu'"),
        ({"time": 60}, False, 'Could not detect "srun"'),
    ],
)
def test_what_slurm_does_not_take_is_told(tmp_path, monkeypatch, options, path, words):
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", commands(tmp_path / "bin", **({"srun": "exit 1"} if path else {})))
    with pytest.raises(UserError, match=words):
        slurm.Runner(local.Places(tmp_path), options)


def test_an_option_without_a_value_is_told():
    assert points.assigned(["time=60", "partition=gpu"], "--slurm") == {"time": 60, "partition": "gpu"}
    with pytest.raises(UserError, match="--slurm: 'exclusive' has no value; write name=value"):
        points.assigned(["time=60", "exclusive"], "--slurm")


@pytest.mark.slow
def test_a_sweep_that_is_killed_finds_its_jobs_at_work(tmp_path):
    """The job outlives the sweep; the next one waits for what it does, and both runs are whole."""
    settings = points.settings_of([*TINY, "--config.stages=('prepare_data','rejection_steering')"])[0]
    (tmp_path / "sweep.py").write_text(
        "from pathlib import Path\nfrom launch import local, points, slurm\n"
        f"points_of = [{settings!r} | {{'label': name, 'seed': seed}} for seed, name in enumerate('ab')]\n"
        f"found = points.resolve({GRPO!r}, points_of, '')\n"
        f"places = local.Places(Path({str(tmp_path / 'runs')!r}))\n"
        f"slurm.Runner(places, {{'timeout_min': 5}}, ['--cache_dir={tmp_path / 'cache'}'], cluster='local')(found)\n"
        "print([places.state(point) for point in found])\n"
    )
    line = [sys.executable, str(tmp_path / "sweep.py")]
    env = {**environment(), "PYTHONPATH": str(ROOT)}
    first = subprocess.Popen(line, cwd=ROOT, env=env)
    while not list((tmp_path / "runs").glob("a/*/config.json")):
        assert first.poll() is None
        time.sleep(0.1)
    first.kill()
    first.wait()
    done = subprocess.run(line, cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "['done', 'done']"
