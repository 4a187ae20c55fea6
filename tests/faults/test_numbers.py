"""Numbers that are not finite end a run with one line, before anything of them is saved."""

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from tests.faults.harness import last_words

GRPO, BASELINE, SPOILT = "configs/grpo.py", "configs/baselines/npo_klr.py", "tests/faults/spoilt_reward.py"
REWARD = "boundary_optimization", "rewards_BG of the batch"
SICK = {  # (config, flags, the stage that is to find it, what it is to name first)
    "NaN reward": (SPOILT, ["--config.reward.value=nan"], *REWARD),
    "infinite reward": (SPOILT, ["--config.reward.value=-inf"], *REWARD),
    "reward beyond float32": (
        SPOILT,
        ["--config.reward.value=1e39"],
        "boundary_optimization",
        "rewards_BG of the batch",
    ),
    "NaN gradient of stage 1": (GRPO, ["--config.rejection_steering.schedule.peak=1e37"], "rejection_steering", "loss"),
    "NaN gradient of stage 2": (
        GRPO,
        ["--config.boundary_optimization.schedule.peak=1e37"],
        "boundary_optimization",
        "rollout.logprobs_BGR of the batch",
    ),
    "NaN gradient of a baseline": (BASELINE, ["--config.baseline.schedule.peak=1e37"], "baseline", "loss"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SICK)
def test_what_is_not_finite_is_named_and_not_saved(trials, tally, tmp_path, name):
    recipe, flags, stage, first = SICK[name]
    for attempt in ("first", "second"):  # the same command meets the same numbers, and does no harm either
        run = trials.start(tmp_path / "run", *flags, recipe=recipe, oddity=("own_rewards", 0))
        line = last_words(run, 1)
        fault = "" if line.startswith(f"error: {stage}: {first}") else f"{name}, {attempt}: {line}"
        checkpoints = sorted((tmp_path / "run" / stage / "checkpoints").glob("[0-9]*"))
        fault = fault or "; ".join(f"{place} is not finite" for place in checkpoints if not finite(place))
        tally.add("NaN or infinity", 1, fault)
        assert not fault
    assert list((tmp_path / "run" / "logs").glob("diverged_step_*.npz"))


def finite(checkpoint):
    params = ocp.StandardCheckpointHandler().restore((checkpoint / "params").absolute())
    return all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params))
