"""One run of several real processes on this machine, each with devices of its own, over gloo."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from rule_jax import preemption, processes
from rule_jax.errors import UserError
from tests.runs import HASTILY, ROOT, TINY, cache_in

STAGES = "--config.stages=('prepare_data','rejection_steering','boundary_optimization','export')"
SHORT = [
    "--config.boundary_optimization.steps=3",
    "--config.boundary_optimization.max_new_tokens=64",  # many more than most answers take
    "--config.mesh.data=2",
    "--config.mesh.fsdp=2",
]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


FIRST_PORT = 61440  # of those that JAX chooses from, by the number of the cluster's job


def listened_to(port: int) -> bool:
    with socket.socket() as tried:
        return not tried.connect_ex(("127.0.0.1", port))


def start(workdir: Path, cache: Path, devices: int, *more: str, **told: str) -> subprocess.Popen:
    """told: by the environment, as a cluster would."""
    flags = ["--config=configs/grpo.py", f"--workdir={workdir}", f"--cache_dir={cache}", *TINY, *SHORT, STAGES, *more]
    environment = {**os.environ, **told, "XLA_FLAGS": f"{HASTILY} --xla_force_host_platform_device_count={devices}"}
    command = [sys.executable, "-m", "rule_jax.main", *flags]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen) -> None:
    _, words = process.communicate()
    assert process.returncode == 0, words


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
    cache = cache_in(place)
    finish(start(place / "run", cache, 4))
    return place / "run", cache


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
    assert min(line.get("places", 1) for line in whole) <= 0.5  # answers end early, and are packed
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


def by_slurm(job: int, number: int) -> dict[str, str]:
    told = {"JOB_ID": job, "STEP_NODELIST": "localhost", "NTASKS": 2, "PROCID": number, "LOCALID": number}
    return {f"SLURM_{name}": str(value) for name, value in told.items()}


def by_open_mpi(job: int, number: int) -> dict[str, str]:
    told = {"SIZE": 2, "RANK": number, "LOCAL_RANK": number}
    uri = {"OMPI_MCA_orte_hnp_uri": f"{job << 12}.0;tcp://127.0.0.1:1"}
    return uri | {f"OMPI_COMM_WORLD_{name}": str(value) for name, value in told.items()}


@pytest.mark.parametrize("told", [by_slurm, by_open_mpi])
def test_processes_meet_by_what_a_cluster_tells_them(tmp_path, told):
    """That they have met, and who is who, shows in what they find different."""
    job = next(job for job in range(4096) if not listened_to(FIRST_PORT + job))
    auto, other = "--coordinator_address=auto", ["--config.reward.tau=0.4"]
    started = [start(tmp_path / "run", tmp_path / "cache", 2, auto, *(other * n), **told(job, n)) for n in (0, 1)]
    for process in started:
        _, words = process.communicate(timeout=300)
        assert process.returncode == 2, words
        assert "process 1 was not started like the first one (config.reward.tau: 0.3 in the first, 0.4 there)" in words


def until(reached: Callable[[], bool], started: list[subprocess.Popen]) -> None:
    """Returns when a run has come so far; none of its processes may end before."""
    deadline = time.monotonic() + 600
    while not reached():
        assert time.monotonic() < deadline
        assert [process.poll() for process in started] == [None] * len(started), started[0].communicate()
        time.sleep(0.02)


MANY = ["--config.boundary_optimization.steps=20", "--config.boundary_optimization.checkpoint_every=1"]
MANY += ["--config.boundary_optimization.validation.every=0", "--config.boundary_optimization.keep_checkpoints=20"]


def saved(workdir: Path, step: int) -> Path:
    return workdir / "boundary_optimization" / "checkpoints" / str(step)


@pytest.mark.slow
@pytest.mark.parametrize(("lost", "fate"), [(1, "SIGKILL"), (0, "SIGKILL"), (1, "SIGSTOP")])
def test_a_process_that_is_lost_ends_the_other_with_a_message(alone, tmp_path, lost, fate):
    started = [start(tmp_path / "run", alone[1], 2, *MANY, *way) for way in together(2, free_port())]
    until(saved(tmp_path / "run", 2).exists, started)
    started[lost].send_signal(signal.Signals[fate])
    try:
        _, words = started[1 - lost].communicate(timeout=2 * processes.HEARTBEAT_S + 60)
    finally:
        for process in started:
            process.kill()
        started[lost].communicate()
    assert started[1 - lost].returncode not in (0, 2)
    # Ours, where a collective tells of it; JAX's own, from the service that hears of the process no more.
    assert "error: another process of this run is gone or late (" in words or "another task died" in words
    assert saved(tmp_path / "run", 2).exists()


@pytest.mark.slow
@pytest.mark.parametrize("told", [0, 1])
def test_a_notice_to_one_process_ends_all_at_the_same_step(alone, tmp_path, told):
    workdir = tmp_path / "run"
    started = [start(workdir, alone[1], 2, *MANY, *way) for way in together(2, free_port())]
    until(saved(workdir, 2).exists, started)
    started[told].send_signal(signal.SIGTERM)
    spoken = [process.communicate(timeout=120)[1] for process in started]
    assert [process.returncode for process in started] == [preemption.EXIT_CODE] * 2, spoken
    last = numbers(workdir)[-1]["step"]
    assert 2 <= last < 20
    assert saved(workdir, last).exists()
    for process in [start(workdir, alone[1], 2, *MANY, *way) for way in together(2, free_port())]:
        finish(process)
    steps = [line["step"] for line in numbers(workdir) if line["stage"] == "boundary_optimization"]
    assert steps == list(range(1, 21)), "none twice, none left out"


@pytest.mark.slow
def test_a_run_goes_on_with_another_number_of_processes_and_another_mesh(alone, tmp_path):
    """Two processes, then one, then two again, each time on another mesh, killed in between: the same parameters."""
    _, cache = alone
    finish(start(tmp_path / "whole", cache, 4, *MANY))
    workdir = tmp_path / "run"
    parts = [(2, "data=2", "fsdp=2", 3), (1, "data=1", "fsdp=4", 8), (2, "data=4", "fsdp=1", None)]
    for count, data, fsdp, last in parts:
        mesh = f"--config.mesh.{data}", f"--config.mesh.{fsdp}"
        ways = together(count, free_port()) if count > 1 else [[]]
        started = [start(workdir, cache, 4 // count, *MANY, *mesh, *way) for way in ways]
        if last:
            until(saved(workdir, last).exists, started)
            for process in started:
                process.kill()
        spoken = [process.communicate(timeout=600)[1] for process in started]
        assert [process.returncode for process in started] == [-9 if last else 0] * count, spoken
    assert "boundary_optimization: resuming after step" in spoken[0]
    assert {line["step"] for line in numbers(workdir)} == {line["step"] for line in numbers(tmp_path / "whole")}
    ours, theirs = (load_file(place / "export" / "model.safetensors") for place in (workdir, tmp_path / "whole"))
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        np.testing.assert_allclose(ours[name], value, rtol=2e-4, atol=2e-6, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1], ids=["the other one is late", "the first one cannot be reached"])
def test_processes_that_cannot_meet_end_with_one_line(tmp_path, number):
    way = together(2, free_port())[number]
    waiting = start(tmp_path / "run", tmp_path / "cache", 2, *way, "--meeting_s=3")
    _, words = waiting.communicate(timeout=processes.LATER_S)
    assert waiting.returncode == 2
    assert words.startswith("error: the processes of this run could not meet (--coordinator_address=127.0.0.1:")
    assert "they were not all there within --meeting_s=3" in words
    assert words.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_port_that_is_taken_is_refused():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=rf"port {port} of this host cannot be had \(Address already in use\)"):
            processes.connect(f"127.0.0.1:{port}", 2, 0, meeting_s=5)


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
