"""rule_jax.trackers: what is written can be read back by the formats' own definitions."""

import struct

import pytest

from rule_jax import telemetry, trackers
from rule_jax.errors import UserError

OFF = {"tensorboard": "off", "wandb_project": ""}


def events(folder):
    """The events of a folder's files in order: records of (length, checksum, payload, checksum)."""
    from tensorboardX.proto.event_pb2 import Event

    for file in sorted(folder.iterdir()):
        data, at = file.read_bytes(), 0
        while at < len(data):
            (size,) = struct.unpack_from("<Q", data, at)
            yield Event.FromString(data[at + 12 : at + 12 + size])
            at += 16 + size


def scalars(folder):
    return [(e.step, v.tag, v.simple_value) for e in events(folder) for v in e.summary.value]


def test_every_scalar_of_a_step_is_an_event(tmp_path):
    started = trackers.start(tmp_path, "rejection_steering", {}, tensorboard="on", wandb_project="")
    with telemetry.MetricsFile(tmp_path / "metrics.jsonl", "rejection_steering", started) as log:
        log.write(1, {"loss": 0.5, "reward/forget": 1.0})
        log.write(2, {"loss": 0.25})
    folder = tmp_path / "tensorboard" / "rejection_steering"
    assert scalars(folder) == [(1, "loss", 0.5), (1, "reward/forget", 1.0), (2, "loss", 0.25)]
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 2


def test_a_resumed_stage_hides_the_steps_that_it_repeats(tmp_path):
    for steps in ((1, 2, 3), (2, 3)):
        tracker = trackers.TensorBoard(tmp_path)
        for step in steps:
            tracker.write(step, {"loss": 1.0})
        tracker.close()
    from tensorboardX.proto.event_pb2 import SessionLog

    marks = [event.step for event in events(tmp_path) if event.session_log.status == SessionLog.START]
    assert marks == [1, 2]


def test_a_stage_that_writes_nothing_leaves_nothing(tmp_path):
    trackers.TensorBoard(tmp_path / "none").close()
    assert list(tmp_path.iterdir()) == []
    assert trackers.start(tmp_path, "x", {}, **OFF) == []


def test_a_process_that_leaves_the_file_to_another_writes_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with telemetry.MetricsFile(None, "x") as log:
        log.write(1, {"loss": 1.0})
    assert list(tmp_path.iterdir()) == []


def test_auto_is_on_where_the_library_is_installed(tmp_path, monkeypatch):
    auto = {**OFF, "tensorboard": "auto"}
    assert [type(t) for t in trackers.start(tmp_path, "x", {}, **auto)] == [trackers.TensorBoard]
    monkeypatch.setattr(trackers.importlib.util, "find_spec", lambda name: None)
    assert trackers.start(tmp_path, "x", {}, **auto) == []
    trackers.check(**auto)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tensorboard": "yes"}, "tensorboard='yes': it must be auto, on or off"),
        ({"tensorboard": "on"}, r"tensorboardX is not installed: pip install 'rule_jax\[watch\]'"),
        ({"wandb_project": "forget"}, "wandb is not installed: pip install wandb"),
    ],
)
def test_what_cannot_be_written_is_refused_before_work(monkeypatch, changes, words):
    monkeypatch.setattr(trackers.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=words):
        trackers.check(**{**OFF, **changes})


@pytest.mark.slow
def test_weights_and_biases_goes_on_in_the_same_run(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    for step in (1, 2):
        (tracker,) = trackers.start(tmp_path / "logs", "rl", {"seed": 0}, tensorboard="off", wandb_project="forget")
        tracker.write(step, {"loss": 1.0})
        tracker.close()
    # offline-run-TIME-ID, and a number behind it where two were begun in one second
    written = [path.name.split("-")[3] for path in (tmp_path / "logs" / "wandb").glob("offline-run-*")]
    assert len(set(written)) == 1
