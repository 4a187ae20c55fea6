"""stages._training: what a user is told of finished steps, of a sick run, and of one that broke."""

import json
from pathlib import Path
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

from rule_jax import telemetry
from rule_jax.stages._training import Diverged, Reporter
from rule_jax.types import Prompts, Rollout


@pytest.fixture
def reporter(tmp_path):
    """reporter(done=0) -> a Reporter on logs under tmp_path; telemetry's lines are kept in reporter.said."""
    run, opened, said = SimpleNamespace(workdir=tmp_path, log_file=tmp_path / "logs" / "metrics.jsonl"), [], []

    def make(done=0):
        log = telemetry.MetricsFile(run.log_file, "boundary_optimization")
        opened.append(log)
        bar = telemetry.Progress("boundary_optimization", 99)
        return Reporter(run, log, bar, {}, done)  # type: ignore[arg-type]

    make.said = said
    handler = telemetry.logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())
    telemetry.LOGGER.addHandler(handler)
    level = telemetry.LOGGER.level
    telemetry.LOGGER.setLevel("INFO")
    yield make
    telemetry.LOGGER.setLevel(level)
    telemetry.LOGGER.removeHandler(handler)
    for log in opened:
        log.__exit__()


def lines(tmp_path):
    return [json.loads(line) for line in (tmp_path / "logs" / "metrics.jsonl").read_text().splitlines()]


def test_a_step_is_reported_when_the_next_one_runs(reporter, tmp_path):
    reports = reporter()
    reports.push(1, {"loss": jnp.float32(0.5)}, ())
    assert lines(tmp_path) == []
    reports.push(2, {"loss": 0.25}, ())
    assert lines(tmp_path) == [{"stage": "boundary_optimization", "step": 1, "loss": 0.5}]
    reports.flush()
    reports.flush()
    assert [line["step"] for line in lines(tmp_path)] == [1, 2]


def test_a_sick_run_is_told_once_even_when_it_is_resumed(reporter):
    sick = {"kl": 4.0, "loss": 1.0}
    first = reporter()
    for step in range(1, 9):
        first.push(step, sick, ())
    first.flush()
    second = reporter(done=6)
    for step in range(7, 12):
        second.push(step, sick, ())
    second.flush()
    warnings = [line for line in reporter.said if "WARNING" in line]
    assert len(warnings) == 1
    assert "boundary_optimization: WARNING at step 5, KL runs away: the policy is 4.0 nats" in warnings[0]


ROLLOUT = Rollout(
    Prompts(np.ones((2, 3), np.int32), np.full(2, 3, np.int32)),
    np.ones((2, 2, 4), np.int32),
    np.full((2, 2), 4, np.int32),
    np.ones((2, 2), bool),
    np.zeros((2, 2, 4), np.float32),
)


def test_a_number_that_is_not_finite_ends_the_run_and_leaves_the_batch(reporter, tmp_path):
    reports = reporter()
    reports.push(7, {"grad_norm": np.inf, "reward": 0.5, "loss": np.nan, "kl": np.nan}, (ROLLOUT, np.ones((2, 2))))
    with pytest.raises(Diverged) as error:
        reports.flush()
    text = str(error.value)
    assert "kl was the first that was not finite at step 7 (of kl, loss, grad_norm)" in text
    assert "the newest checkpoint is good" in text
    assert "\n" not in text
    assert lines(tmp_path) == [{"stage": "boundary_optimization", "step": 7, "reward": 0.5}]  # JSON knows no NaN
    file = tmp_path / "logs" / "diverged_step_00007.npz"
    assert str(file) in text
    with np.load(file, allow_pickle=False) as dump:
        np.testing.assert_array_equal(dump["0.response_BGR"], ROLLOUT.response_BGR)
        np.testing.assert_array_equal(dump["1"], np.ones((2, 2)))


def test_a_model_that_was_broken_before_is_told_from_its_own_samples(reporter):
    broken = ROLLOUT._replace(logprobs_BGR=np.full((2, 2, 4), np.nan, np.float32))
    reports = reporter()
    reports.push(3, {"loss": np.nan}, (broken, np.ones((2, 2))))
    with pytest.raises(Diverged, match=r"0\.logprobs_BGR of the batch was the first that was not finite at step 3"):
        reports.flush()


def test_a_reward_that_is_not_finite_is_to_be_mended_itself(reporter):
    reports = reporter()
    rewards = np.array([[1.0, np.nan]], np.float32)
    reports.push(2, {"reward": np.nan}, {"rollout": ROLLOUT, "rewards_BG": rewards})
    with pytest.raises(Diverged, match=r"rewards_BG of the batch was .* step 2 .* Mend the reward, then start"):
        reports.flush()


def test_a_line_that_a_kill_has_torn_is_dropped(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"stage": "x", "step": 1}\n{"stage": "x", "st')
    with telemetry.MetricsFile(path, "x") as log:
        log.write(2, {"loss": 1.0})
    assert [json.loads(line)["step"] for line in Path(path).read_text().splitlines()] == [1, 2]
