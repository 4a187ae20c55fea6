"""What the training loops share: how a loop starts or resumes, and how it reports and saves. The loops stand apart."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax

from rule_jax import files, processes, programs, sharding, telemetry
from rule_jax.checkpoint import Checkpoints
from rule_jax.errors import UserError
from rule_jax.models.decoder import Params
from rule_jax.programs import TrainState
from rule_jax.reporting.alarms import Alarms
from rule_jax.reporting.data import read_training
from rule_jax.stages import TRAINING, Run, Subject
from rule_jax.stages._weights import origin


class Diverged(Exception):
    """A number of a step stopped being finite. The text says which was the first, and where the batch is."""


def start_or_resume(
    run: Run,
    subject: Subject,
    optimizer: optax.GradientTransformation,
    checkpoints: Checkpoints,
    base: Params,
    beside: Any = None,
) -> tuple[TrainState, Any]:
    """(state, what lies beside it) of the newest checkpoint of the stage, in the shapes of `beside`; else (step 0 from
    the run's seed, None): `base` itself, or a fresh adapter on it. What the checkpoints say of the run from now on is
    its config, and what the stage began from.

    Raises UserError when the checkpoint began from another base, which is the reference too: that is never a function
    of the weights that are trained.
    """
    tuning, stage = subject.tuning, checkpoints.directory.parent.name
    checkpoints.about |= {"config": files.plain(run.config), "begun_from": origin(run, subject, stage, base)}
    found = checkpoints.restore(programs.abstract_state(tuning, run.mesh, optimizer), beside)
    if found is not None:
        telemetry.info(f"{stage}: resuming after step {int(found.state.step)}")
        _compare(stage, found.about, checkpoints.about)
        return found.state, found.beside
    key = jax.random.key(run.config.seed)
    if tuning.keeps_base:
        base = programs.init_params(tuning, run.mesh, jax.random.fold_in(key, TRAINING.index(stage)))
    return programs.init_state(tuning, run.mesh, optimizer, base, key), None


def _compare(stage: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raises UserError for a checkpoint that began from other weights; says where its libraries were others."""
    before, after = was.get("begun_from") or {}, now.get("begun_from") or {}
    known = None not in (before.get("checksum"), after.get("checksum"))
    if known and before["dtype"] == after["dtype"] and before["checksum"] != after["checksum"]:
        raise UserError(
            f"{stage} began from {before['path']} with checksum {before['checksum']}, and {after['path']} has "
            f"{after['checksum']}: the weights, which are the reference too, were changed since. Put the old ones "
            "back, or use another --workdir"
        )
    others = [
        f"{name} {version} (now {now['versions'].get(name)})"
        for name, version in was.get("versions", {}).items()
        if version != now["versions"].get(name)
    ]
    if others:
        telemetry.info(f"{stage}: was saved with {', '.join(others)}: the run goes on, but not bit for bit")


class Reporter:
    """Numbers of finished steps: to the metrics file, the progress bar and the alarms, one step late so that no step
    waits.

    done: steps that an earlier process has done; what they raised is not raised again.
    """

    def __init__(
        self, run: Run, log: telemetry.MetricsFile, bar: telemetry.Progress, shown: Mapping[str, str], done: int
    ):
        self.log, self.bar, self.shown = log, bar, shown
        self.folder = run.log_file.parent
        self.alarms = Alarms()
        for line in _history(run, log.stage, done):
            self.alarms.see(line)
        self.pending: tuple[int, Mapping[str, jax.Array | float], Any] | None = None

    def push(self, step: int, metrics: Mapping[str, jax.Array | float], batch: Any) -> None:
        """Takes the numbers of a step that may still be running, and reports those of the step before.

        batch: the arrays that the step was computed from, kept until its numbers are known to be finite.
        """
        self.flush()
        self.pending = (step, metrics, batch)

    def flush(self) -> None:
        """Reports what is pending. Raises Diverged, and leaves the batch, when it holds a NaN or infinity."""
        if self.pending is None:
            return
        (step, metrics, batch), self.pending = self.pending, None
        values = {name: float(np.asarray(value)) for name, value in metrics.items()}
        bad = [name for name, value in values.items() if not math.isfinite(value)]
        self.log.write(step, {name: value for name, value in values.items() if name not in bad})
        if bad:
            raise _diverged(self.log.stage, step, bad, batch, self.folder)
        for alarm in self.alarms.see({"step": step, **values}):
            telemetry.info(f"{self.log.stage}: WARNING at step {alarm.step}, {alarm.name}: {alarm.text}")
        self.bar.advance(shown={label: values[name] for label, name in self.shown.items() if name in values})


# Metrics in the order in which a step computes them: of several that are not finite the first is nearest to the cause.
FLOW = ("reward", "kl_reward", "value", "entropy", "sampler_gap", "ratio", "kl", "clip_fraction", "loss", "grad_norm")


def _diverged(stage: str, step: int, bad: Sequence[str], batch: Any, folder: Path) -> Diverged:
    """The error of a step whose metrics `bad` are not finite; its batch as arrays in logs/diverged_step_<step>.npz."""
    leaves = {
        jax.tree_util.keystr(path, simple=True, separator="."): np.asarray(sharding.whole(jax.numpy.asarray(leaf)))
        for path, leaf in jax.tree.leaves_with_path(batch)
    }
    broken = [name for name, leaf in leaves.items() if leaf.dtype.kind == "f" and not np.isfinite(leaf).all()]
    ordered = sorted(bad, key=lambda name: next((i for i, part in enumerate(FLOW) if name.startswith(part)), len(FLOW)))
    first = f"{broken[0]} of the batch" if broken else ordered[0]
    mend = "Lower the learning rate or max_grad_norm, then run again with --overwrite or in another workdir."
    if first.startswith("reward"):
        mend = "Mend the reward, then start the same command again."
    file = folder / f"diverged_step_{step:05d}.npz"
    if processes.first():
        np.savez_compressed(file, allow_pickle=False, **leaves)
    return Diverged(
        f"{stage}: {first} was the first that was not finite at step {step} (of {', '.join((*broken, *ordered))}); "
        f"nothing of the step was saved, the newest checkpoint is good, the batch is in {file}. {mend}"
    )


def _history(run: Run, stage: str, done: int) -> list[dict[str, Any]]:
    """The stage's lines of logs/metrics.jsonl up to step `done`, for the one process that speaks."""
    if not done or not processes.first() or not run.log_file.exists():
        return []
    return [line for line in read_training(run.workdir) if line["stage"] == stage and line["step"] <= done]
