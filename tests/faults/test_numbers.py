"""Numbers that are not finite end a run with one line, before anything of them is saved."""

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from tests.faults.harness import last_words

GRPO, BASELINE, SPOILT = "configs/grpo.py", "configs/baselines/npo_klr.py", "tests/faults/spoilt_reward.py"
REWARD, GRADIENT = "rewards_BG of the batch", "grad_norm"
SICK = {  # (config, flag, the stage that is to find it, what it is to name first)
    "NaN reward": (SPOILT, "reward.value=nan", "boundary_optimization", REWARD),
    "infinite reward": (SPOILT, "reward.value=-inf", "boundary_optimization", REWARD),
    "reward beyond float32": (SPOILT, "reward.value=1e39", "boundary_optimization", REWARD),
    "gradient of stage 1": (GRPO, "rejection_steering.schedule.peak=1e37", "rejection_steering", GRADIENT),
    "gradient of stage 2": (GRPO, "boundary_optimization.schedule.peak=1e37", "boundary_optimization", GRADIENT),
    "gradient of a baseline": (BASELINE, "baseline.schedule.peak=1e37", "baseline", GRADIENT),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SICK)
def test_what_is_not_finite_is_named_and_not_saved(trials, tally, tmp_path, name):
    recipe, flag, stage, first = SICK[name]
    expected = f"error: {stage}: {first} was the first that was not finite at step "
    for _ in range(2):  # the same command again meets the same numbers, and does no harm either
        run = trials.start(tmp_path / "run", f"--config.{flag}", recipe=recipe, oddity=("own_rewards", 0))
        line = last_words(run, 1)
        checkpoints = (tmp_path / "run" / stage / "checkpoints").glob("[0-9]*")
        saved = "; ".join(f"{place} is not finite" for place in checkpoints if not finite(place))
        tally.add("NaN or infinity", 1, saved or ("" if line.startswith(expected) else line))
        assert line.startswith(expected)
        assert not saved
        assert "Traceback" not in run.said
    assert list((tmp_path / "run" / "logs").glob("diverged_step_*.npz"))


def finite(checkpoint):
    params = ocp.StandardCheckpointHandler().restore((checkpoint / "params").absolute())
    return all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params))
