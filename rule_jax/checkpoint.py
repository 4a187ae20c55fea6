"""Checkpoints of a training stage (Orbax): asynchronous, atomic, the newest few kept, and the one that scored best.

A checkpoint has items, so that another stage can read the parameters without knowing the optimizer: "params", "rest"
(optimizer moments, step and random key) and, for loops that have more to remember, "beside".
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from jax.sharding import Mesh
from orbax.checkpoint.checkpoint_managers import preservation_policy

from rule_jax import programs
from rule_jax.errors import UserError
from rule_jax.models.decoder import Params
from rule_jax.programs import Declared, TrainState

_UNSCORED = -1.0  # below every score; a checkpoint without one is never the best


class Checkpoints:
    """The checkpoints of one stage, by the number of updates done. Use as a context: leaving it ends pending saves."""

    def __init__(self, directory: Path, keep: int, create: bool = True):
        self.directory = directory
        best = preservation_policy.BestN(get_metric_fn=_score, n=1, keep_checkpoints_without_metrics=False)
        options = ocp.CheckpointManagerOptions(
            preservation_policy=preservation_policy.AnyPreservationPolicy([preservation_policy.LatestN(keep), best]),
            best_fn=_score,
            create=create,
        )
        self.manager = ocp.CheckpointManager(
            directory.absolute(), options=options, item_names=("params", "rest", "beside")
        )

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *exc: object) -> None:
        self.manager.wait_until_finished()
        self.manager.close()

    def save(self, step: int, state: TrainState, beside: Any = None, score: float | None = None) -> None:
        """Starts saving and returns; the state may be donated at once, Orbax has copied it to the host.

        beside: a tree of arrays that the loop remembers beside the state. score: in [0, 1], of a validation; the best
        scored checkpoint is kept beside the newest. A step that is there already is left as it is.
        """
        if step in self.manager.all_steps():
            return
        rest = {"step": state.step, "opt_state": state.opt_state, "key": state.key}
        items = {"params": state.params, "rest": rest, **({"beside": beside} if beside is not None else {})}
        args = ocp.args.Composite(**{name: ocp.args.StandardSave(item) for name, item in items.items()})
        self.manager.save(step, args=args, metrics={"score": _UNSCORED if score is None else score})

    def best(self) -> tuple[int, float] | None:
        """(step, score) of the checkpoint that scored best, the newest of equals; None where none has a score."""
        step = self.manager.best_step()
        metrics = None if step is None else self.manager.metrics(step)
        if step is None or metrics is None or _score(metrics) == _UNSCORED:
            return None
        return step, _score(metrics)

    def restore(self, like: TrainState) -> TrainState | None:
        """The newest state, in the shapes and shardings of `like`; None when there is none yet."""
        rest = {"step": like.step, "opt_state": like.opt_state, "key": like.key}
        found = self._newest(params=like.params, rest=rest)
        return None if found is None else TrainState(params=found["params"], **found["rest"])

    def restore_beside(self, like: Any) -> Any:
        """What was saved beside the newest state, in the shapes and shardings of `like`; None when there is none."""
        found = self._newest(beside=like)
        return None if found is None else found["beside"]

    def _newest(self, **likes: Any) -> Any:
        step = self.manager.latest_step()
        if step is None:
            return None
        args = ocp.args.Composite(**{name: ocp.args.StandardRestore(like) for name, like in likes.items()})
        return self.manager.restore(step, args=args)

    def save_params(self, step: int, params: Params) -> None:
        """A checkpoint of parameters alone: one to begin from, not one to go on from."""
        args = ocp.args.Composite(params=ocp.args.StandardSave(params))
        self.manager.save(step, args=args, metrics={"score": _UNSCORED})


def _score(metrics: Mapping[str, float]) -> float:
    return metrics["score"]


def load_params(directory: Path, model: Declared, mesh: Mesh, step: int | None = None) -> Params:
    """What a stage trained, in its training shards, from the checkpoint of `step`.

    Without one, from its best checkpoint or, where none has a score, its newest. Raises UserError when there is none,
    and when it is of another model.
    """
    missing = UserError(f"{directory} holds no checkpoint; run the stage that makes it first")
    if not directory.is_dir():
        raise missing
    with Checkpoints(directory, keep=1, create=False) as checkpoints:
        steps = checkpoints.manager.all_steps()
        if not steps:
            raise missing
        if step is not None and step not in steps:
            there = ", ".join(map(str, sorted(steps)))
            raise UserError(f"{directory} has no checkpoint of step {step}; it has {there}")
        if step is None:
            best = checkpoints.best()
            step = best[0] if best else max(steps)
        like = abstract_params(model, mesh)
        _check_shapes(directory / str(step), like)
        args = ocp.args.Composite(params=ocp.args.StandardRestore(like))
        return checkpoints.manager.restore(step, args=args)["params"]


def _check_shapes(where: Path, like: Any) -> None:
    """Raises UserError naming the first parameter that is missing, unexpected or of another shape."""
    # The handler, not a Checkpointer: that one asks for a file which a CheckpointManager's items lack, and warns of it.
    stored = ocp.StandardCheckpointHandler().metadata((where / "params").absolute())  # type: ignore[arg-type]
    found, wanted = (
        {jax.tree_util.keystr(path, simple=True, separator="/"): tuple(x.shape) for path, x in leaves}
        for leaves in map(jax.tree_util.tree_leaves_with_path, (stored, like))
    )
    for name in sorted(found.keys() | wanted.keys()):
        there, here = found.get(name, "absent"), wanted.get(name, "absent")
        if there != here:
            raise UserError(f"{where}: {name} is {there} in the checkpoint and {here} in the model that is to read it")


def abstract_params(model: Declared, mesh: Mesh) -> Any:
    """Shapes, dtypes and shardings of the parameters."""
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    where = programs.param_shardings(model, mesh)
    return jax.tree.map(lambda s, w: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=w), shapes, where)
