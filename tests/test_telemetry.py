"""rule_jax.telemetry: lines where there is no terminal, a bar where there is one, numbers that outlive a crash."""

import json
import os
import pty
import re
import resource
import subprocess
import sys
import termios

import pytest

from rule_jax import telemetry
from rule_jax.errors import UserError


@pytest.fixture
def start_logging(tmp_path):
    """start_logging() -> the log file. To be called in the test: pytest gives each phase a stderr of its own."""
    started = []

    def start():
        before = set(telemetry.LOGGER.handlers)
        telemetry.start_logging(tmp_path / "logs")
        started.extend(handler for handler in telemetry.LOGGER.handlers if handler not in before)
        return tmp_path / "logs" / "run.log"

    yield start
    for handler in started:
        telemetry.LOGGER.removeHandler(handler)
        handler.close()


def test_a_line_goes_to_stderr_and_is_appended_to_the_log(start_logging, capsys):
    log = start_logging()
    log.write_text("from an earlier run\n")
    telemetry.info("world model: none in the cache — making one")
    shown = capsys.readouterr()
    assert shown.out == ""
    assert re.fullmatch(r"\d\d:\d\d:\d\d world model: none in the cache — making one\n", shown.err)
    assert log.read_text(encoding="utf-8") == "from an earlier run\n" + shown.err


def test_without_a_terminal_progress_is_plain_lines_with_rate_and_time_left(start_logging, capsys, monkeypatch):
    log = start_logging()
    monkeypatch.setattr(telemetry, "LINE_EVERY_S", 0.0)
    with telemetry.Progress("rejection_steering", total=4, done=1, unit="updates") as bar:
        for loss in (0.12345, 2.0, 30000.0):
            bar.advance({"loss": loss})
    lines = capsys.readouterr().err.splitlines()
    later = r"\d+\.\d\d/s, \d+ s left"
    assert len(lines) == 3
    for line, done, pace, loss in zip(
        lines, (2, 3, 4), (r"the first in \d+\.\d s", later, later), (r"0\.123", "2", r"3e\+04"), strict=True
    ):
        expected = rf"\d\d:\d\d:\d\d rejection_steering: {done}/4 updates, {pace} loss={loss}"
        assert re.fullmatch(expected, line), line
    assert "\r" not in log.read_text()
    assert "0 s left" in lines[-1]


def test_the_first_step_which_compiles_is_not_what_the_others_are_reckoned_by(start_logging, capsys, monkeypatch):
    start_logging()
    monkeypatch.setattr(telemetry, "LINE_EVERY_S", 0.0)
    clock = iter([0.0, 20.0, 22.0, 24.0])  # the beginning, then the end of each step
    monkeypatch.setattr(telemetry.time, "monotonic", lambda: next(clock))
    with telemetry.Progress("rejection_steering", total=13) as bar:
        for _ in range(3):
            bar.advance()
    first, second, third = capsys.readouterr().err.splitlines()
    assert "1/13 steps, the first in 20.0 s" in first
    assert "left" not in first
    assert "2/13 steps, 0.50/s, 22 s left" in second
    assert "3/13 steps, 0.50/s, 20 s left" in third


def test_without_a_terminal_lines_are_rare_but_the_last_is_always_there(start_logging, capsys):
    start_logging()
    with telemetry.Progress("evaluate", total=500) as bar:
        for _ in range(500):
            bar.advance()
    [line] = capsys.readouterr().err.splitlines()
    assert "evaluate: 500/500 steps" in line


ON_A_TERMINAL = """
import pathlib, sys
from rule_jax import telemetry
telemetry.start_logging(pathlib.Path(sys.argv[1]))
with telemetry.Progress("pretraining", 3, done=1) as bar:
    bar.advance({"loss": 1.5})
    telemetry.info("a line above the bar")
    bar.advance({"loss": 0.5})
"""


def test_on_a_terminal_progress_is_one_bar_and_lines_stand_above_it(tmp_path):
    shown = on_a_terminal([sys.executable, "-c", ON_A_TERMINAL, str(tmp_path)])
    assert "pretraining: 100%" in shown
    assert "3/3" in shown
    assert "loss=0.5" in shown
    assert "\r" in shown
    assert re.search(r"(^|[\r\n\x1b\[AK ])\d\d:\d\d:\d\d a line above the bar\r?\n", shown), shown
    assert "s left" not in shown
    assert (tmp_path / "run.log").read_text().splitlines()[0].endswith("a line above the bar")
    assert "pretraining" not in (tmp_path / "run.log").read_text()  # bars are for eyes


def on_a_terminal(command):
    """What a process writes to its stderr when that is a terminal."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 99))
    try:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=theirs)
    finally:
        os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 4096):
            shown += chunk
    except OSError:  # Linux reports the end of a terminal's other side as EIO
        pass
    finally:
        os.close(ours)
    assert process.wait(timeout=60) == 0, shown
    return shown.decode()


def test_metrics_are_appended_line_by_line(tmp_path):
    path = tmp_path / "logs" / "metrics.jsonl"
    with telemetry.MetricsFile(path, "rejection_steering") as file:
        file.write(1, {"loss": 0.5})
        assert json.loads(path.read_text()) == {"stage": "rejection_steering", "step": 1, "loss": 0.5}  # not buffered
    with telemetry.MetricsFile(path, "boundary_optimization") as file:
        file.write(1, {"reward/forget": 1.0})
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines == [
        {"stage": "rejection_steering", "step": 1, "loss": 0.5},
        {"stage": "boundary_optimization", "step": 1, "reward/forget": 1.0},
    ]


def test_a_stopwatch_divides_the_time_of_a_step(monkeypatch):
    now = iter([10.0, 12.0, 12.5, 16.5])
    monkeypatch.setattr(telemetry.time, "monotonic", lambda: next(now))
    clock = telemetry.Stopwatch()
    for lap in ("rollout", "reward", "update"):
        clock.lap(lap)
    assert clock.facts(tokens=26) == {
        "time/rollout_s": 2.0,
        "time/reward_s": 0.5,
        "time/update_s": 4.0,
        "tokens_per_s": 4.0,
        "tokens_per_s/rollout": 13.0,
        "tokens_per_s/reward": 52.0,
        "tokens_per_s/update": 6.5,
    }


def test_what_is_watched_comes_through_in_order(start_logging, capsys):
    log = start_logging()
    assert list(telemetry.watched("reading", ["a", "b", "c"], "tensors")) == ["a", "b", "c"]
    assert "reading: 3/3 tensors" in log.read_text()


def test_lines_go_to_the_terminal_alone_where_there_is_no_directory(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    handlers = list(telemetry.LOGGER.handlers)
    try:
        telemetry.start_logging()
        telemetry.info("hello")
    finally:
        telemetry.LOGGER.handlers[:] = handlers
    assert "hello" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_told_once_and_without_a_stack(start_logging, tmp_path, capfd):
    file = tmp_path / "metrics.jsonl"
    start_logging()

    def nine_steps():
        with telemetry.MetricsFile(file, "x") as log:
            for step in range(9):
                log.write(step, {"loss": 0.5})

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        telemetry.info("x" * 500)
        with pytest.raises(UserError, match=r"metrics.jsonl cannot be written: File too large. Make room"):
            nine_steps()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "Traceback" not in capfd.readouterr().err
    with telemetry.MetricsFile(file, "x") as log:  # what was torn is gone
        log.write(9, {"loss": 0.25})
    steps = [json.loads(line)["step"] for line in file.read_text().splitlines()]
    assert steps == [*range(len(steps) - 1), 9]
