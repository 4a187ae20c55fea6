"""What the training loops share: how a loop starts or resumes, and how it reports and saves. The loops stand apart."""

import math
from collections.abc import Mapping

import jax
import numpy as np
import optax

from rule_jax import programs, telemetry
from rule_jax.checkpoint import Checkpoints
from rule_jax.models.decoder import Params
from rule_jax.programs import TrainState
from rule_jax.stages import TRAINING, Run, Subject


class Diverged(Exception):
    """A loss or gradient stopped being a number. The text names the step and the last good checkpoint."""


def start_or_resume(
    run: Run,
    subject: Subject,
    optimizer: optax.GradientTransformation,
    checkpoints: Checkpoints,
    base: Params,
) -> TrainState:
    """The newest checkpoint of the stage, else step 0 from the run's seed: `base` itself, or a fresh adapter on it."""
    tuning, stage = subject.tuning, checkpoints.directory.parent.name
    state = checkpoints.restore(programs.abstract_state(tuning, run.mesh, optimizer))
    if state is not None:
        telemetry.info(f"{stage}: resuming after step {int(state.step)}")
        return state
    key = jax.random.key(run.config.seed)
    if tuning.keeps_base:
        base = programs.init_params(tuning, run.mesh, jax.random.fold_in(key, TRAINING.index(stage)))
    return programs.init_state(tuning, run.mesh, optimizer, base, key)


class Reporter:
    """Numbers of finished steps: to the metrics file and the progress bar, one step late so that no step waits."""

    def __init__(self, log: telemetry.MetricsFile, bar: telemetry.Progress, shown: Mapping[str, str]):
        self.log, self.bar, self.shown = log, bar, shown
        self.pending: tuple[int, dict[str, jax.Array | float]] | None = None

    def push(self, step: int, metrics: dict[str, jax.Array | float]) -> None:
        """Takes the numbers of a step that may still be running and reports those of the step before."""
        self.flush()
        self.pending = (step, metrics)

    def flush(self) -> None:
        """Reports what is pending. Raises Diverged when it holds a NaN or infinity."""
        if self.pending is None:
            return
        step, metrics = self.pending
        self.pending = None
        values = {name: float(np.asarray(value)) for name, value in metrics.items()}
        bad = sorted(name for name, value in values.items() if not math.isfinite(value))
        self.log.write(step, {name: value for name, value in values.items() if name not in bad})
        if bad:
            raise Diverged(
                f"{self.log.stage}: {', '.join(bad)} stopped being finite at step {step}; nothing of it was saved, the "
                "newest checkpoint is good. Lower the learning rate or max_grad_norm, then run again with --overwrite "
                "or in another workdir."
            )
        self.bar.advance(shown={label: values[name] for label, name in self.shown.items() if name in values})
