"""One run of several real processes on this machine, each with devices of its own, over gloo."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from rule_jax import processes
from rule_jax.errors import UserError
from tests.test_end_to_end import ROOT, TINY

STAGES = "--config.stages=('prepare_data','rejection_steering','boundary_optimization','export')"
SHORT = ["--config.boundary_optimization.steps=3", "--config.mesh.data=2", "--config.mesh.fsdp=2"]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def start(workdir: Path, cache: Path, devices: int, *more: str) -> subprocess.Popen:
    flags = ["--config=configs/grpo.py", f"--workdir={workdir}", f"--cache_dir={cache}", *TINY, *SHORT, STAGES, *more]
    environment = {**os.environ, "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}"}
    command = [sys.executable, "-m", "rule_jax.main", *flags]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)


def together(count: int, port: int) -> list[list[str]]:
    meeting = [f"--coordinator_address=127.0.0.1:{port}", f"--num_processes={count}"]
    return [[*meeting, f"--process_id={number}"] for number in range(count)]


def numbers(workdir: Path) -> list[dict]:
    """The training log without what a clock said."""
    lines = [json.loads(line) for line in (workdir / "logs" / "metrics.jsonl").read_text().splitlines()]
    kept = [line for line in lines if line["stage"] != "pretraining"]
    return [{k: v for k, v in line.items() if "time/" not in k and "per_s" not in k} for line in kept]


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> tuple[Path, Path]:
    """(workdir, cache) of a run of one process with four devices."""
    place = tmp_path_factory.mktemp("alone")
    process = start(place / "run", place / "cache", 4)
    assert process.wait() == 0, process.stderr.read()
    process.stderr.close()
    return place / "run", place / "cache"


@pytest.mark.parametrize("count", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_several_processes_train_what_one_does(alone, tmp_path, count):
    workdir, cache = alone
    ways = together(count, free_port())
    started = [start(tmp_path / "run", cache, 4 // count, *way) for way in ways]
    spoken = [process.communicate(timeout=600)[1] for process in started]
    assert [process.returncode for process in started] == [0] * count, spoken
    assert f"4 cpu device(s) in float32 of {count} processes" in spoken[0]
    assert "begins" not in spoken[1]  # one speaks for all
    ours, theirs = (load_file(place / "export" / "model.safetensors") for place in (tmp_path / "run", workdir))
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        np.testing.assert_allclose(ours[name], value, rtol=2e-4, atol=2e-6, err_msg=name)
    apart, whole = numbers(tmp_path / "run"), numbers(workdir)
    assert [line["step"] for line in apart] == [line["step"] for line in whole]
    for one, other in zip(apart, whole):
        assert one.keys() == other.keys()
        for name, value in other.items():
            assert one[name] == (value if isinstance(value, str) else pytest.approx(value, rel=1e-3, abs=1e-5)), name


@pytest.mark.slow
def test_a_process_with_another_config_is_refused_and_the_others_do_not_hang(alone, tmp_path):
    ways = together(2, free_port())
    ways[1].append("--config.reward.tau=0.4")
    started = [start(tmp_path / "run", alone[1], 2, *way) for way in ways]
    begun = time.monotonic()
    spoken = [process.communicate(timeout=300)[1] for process in started]
    assert time.monotonic() - begun < processes.HEARTBEAT_S + 120
    for process, words in zip(started, spoken):
        assert process.returncode == 2
        assert "process 1 was not started like the first one (config.reward.tau: 0.3 in the first, 0.4 there)" in words
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("", 2, 0), "needs --coordinator_address"),
        (("localhost", 2, 0), "expected HOST:PORT"),
        (("localhost:1234", 2, 2), "--process_id=2"),
    ],
)
def test_a_meeting_that_cannot_be_is_refused(arguments, expected):
    with pytest.raises(UserError, match=expected):
        processes.connect(*arguments, meeting_s=5)


def test_a_process_alone_agrees_with_itself():
    assert processes.first()
    assert processes.agreed({"a": [1, "ü"]}) == {"a": [1, "ü"]}
    processes.wait("here")
