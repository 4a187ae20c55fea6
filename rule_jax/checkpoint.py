"""Checkpoints of a training stage (Orbax): asynchronous, atomic, the newest few kept, and the one that scored best.

A checkpoint has items, so that another stage can read the parameters without knowing the optimizer: "params", "rest"
(optimizer moments, step and random key) and, for loops that have more to remember, "beside". A fourth, "about", is what
the others are: the checksum of each, and what the loop says of itself. No checkpoint is used whose arrays are not
those that were saved; one that is not goes to the folder "damaged" beside, and the one before it is taken.
"""

import importlib.metadata
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.sharding import Mesh
from orbax.checkpoint.checkpoint_managers import preservation_policy

from rule_jax import files, processes, programs, telemetry
from rule_jax.errors import UserError
from rule_jax.journal import key_of
from rule_jax.models.decoder import Params
from rule_jax.programs import Declared, TrainState

LIBRARIES = ("rule_jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint")
_ITEMS = ("params", "rest", "beside", "about")
_UNSCORED = -1.0  # below every score; a checkpoint without one is never the best


class Restored(NamedTuple):
    """A checkpoint that was read and found whole. beside: None where none was asked for. about: see `Checkpoints`."""

    state: TrainState
    beside: Any
    about: Mapping[str, Any]


class Checkpoints:
    """The checkpoints of one stage, by the number of updates done. Use as a context: leaving it ends pending saves.

    about: what JSON can hold and every checkpoint is to say of the run that made it; the versions of the libraries are
    added. What the disk refuses is a UserError, at once or, since saving takes place meanwhile, of a later call.
    """

    def __init__(self, directory: Path, keep: int, create: bool = True):
        self.directory = directory.absolute()
        self.about: dict[str, Any] = {"versions": {name: importlib.metadata.version(name) for name in LIBRARIES}}
        self._drop_unscored()
        best = preservation_policy.BestN(get_metric_fn=_score, n=1, keep_checkpoints_without_metrics=False)
        options = ocp.CheckpointManagerOptions(
            preservation_policy=preservation_policy.AnyPreservationPolicy([preservation_policy.LatestN(keep), best]),
            best_fn=_score,
            create=create,
        )
        with _refusals(self.directory):
            self.manager = ocp.CheckpointManager(self.directory, options=options, item_names=_ITEMS)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, *_: object) -> None:
        if processes.is_loss(error):
            return  # Orbax would wait for the process that is gone
        with _refusals(self.directory):
            self.manager.wait_until_finished()
            self.manager.close()

    def save(self, step: int, state: TrainState, beside: Any = None, score: float | None = None) -> None:
        """Starts saving and returns; the state may be donated at once, Orbax has copied it to the host.

        beside: a tree of arrays that the loop remembers beside the state. score: in [0, 1], of a validation; the best
        scored checkpoint is kept beside the newest. A step that is there already is left as it is.
        """
        items = {"params": state.params, "rest": _rest(state)}
        self._save(step, items if beside is None else {**items, "beside": beside}, score)

    def save_params(self, step: int, params: Params) -> None:
        """A checkpoint of parameters alone: one to begin from, not one to go on from."""
        self._save(step, {"params": params}, None)

    def _save(self, step: int, items: Mapping[str, Any], score: float | None) -> None:
        if step in self.manager.all_steps():
            return
        sums = {name: int(programs.checksum(item)) for name, item in items.items()}
        args: dict[str, Any] = {name: ocp.args.StandardSave(item) for name, item in items.items()}
        shapes = {name: _shapes(name, item) for name, item in items.items()}
        dtypes = [str(leaf.dtype) for leaf in jax.tree.leaves(items["params"])]
        about = {"sums": sums, "shapes": shapes, "dtypes": dtypes, **self.about}
        args["about"] = ocp.args.JsonSave({"content": about, "digest": key_of(about)})
        with _refusals(self.directory):
            metrics = {"score": _UNSCORED if score is None else score}
            self.manager.save(step, args=ocp.args.Composite(**args), metrics=metrics)

    def best(self) -> tuple[int, float] | None:
        """(step, score) of the checkpoint that scored best, the newest of equals; None where none has a score."""
        step = self.manager.best_step()
        metrics = None if step is None else self.manager.metrics(step)
        if step is None or metrics is None or _score(metrics) == _UNSCORED:
            return None
        return step, _score(metrics)

    def counting(self) -> int:
        """The step whose checkpoint is the stage's result: the best or, where none has a score, the newest."""
        best = self.best()
        return best[0] if best else max(self.manager.all_steps())

    def restore(self, like: TrainState, beside: Any = None) -> Restored | None:
        """The newest state that is whole, and what was saved beside it, in the shapes and shardings of `like` and
        `beside`; None when there is none. Those that are damaged are put aside, with a line to the log."""
        likes = {"params": like.params, "rest": _rest(like)}
        if beside is not None:
            likes["beside"] = beside
        for step in sorted(self.manager.all_steps(), reverse=True):
            found, about, fault = _read(self.directory / str(step), likes)
            if not fault:
                return Restored(TrainState(params=found["params"], **found["rest"]), found.get("beside"), about)
            self._put_aside(step, fault)
            self.manager.reload()
        return None

    def _put_aside(self, step: int, fault: str) -> None:
        """A damaged checkpoint leaves its place, which a new one may then take; nothing is deleted."""
        place = self.directory.parent / "damaged" / str(step)
        stage = self.directory.parent.name
        telemetry.info(
            f"{stage}: the checkpoint of step {step} is damaged ({fault}); it is now {place}, and the newest before it "
            "is taken"
        )
        if processes.first():
            place.parent.mkdir(exist_ok=True)
            shutil.rmtree(place, ignore_errors=True)
            os.replace(self.directory / str(step), place)
        processes.wait("put aside")

    def _drop_unscored(self) -> None:
        """Checkpoints whose score cannot be read are put aside first: Orbax would not even list the others."""
        places = [place for place in self.directory.glob("*") if place.name.isdigit()]
        faults = {int(place.name): fault for place in places if (fault := _unscored(place))}
        for step, fault in processes.agreed(sorted(faults.items())):
            self._put_aside(step, fault)


def _rest(state: TrainState) -> dict[str, Any]:
    return {"step": state.step, "opt_state": state.opt_state, "key": state.key}


def _read(where: Path, likes: Mapping[str, Any]) -> tuple[dict[str, Any], Mapping[str, Any], str]:
    """(items of a checkpoint, what it says of itself, what is wrong with it) in every process.

    By the handlers and not by the manager: that one waits for the other processes, and one of them may have failed.
    Raises UserError for a checkpoint that is whole but of another model.
    """
    found, about, fault, silent, another = {}, {}, "", False, False
    try:
        about = read_about(where)
        silent = not about  # a checkpoint of an earlier version
        shapes = about.get("shapes", {})
        another = any(name in shapes and shapes[name] != _shapes(name, like) for name, like in likes.items())
        handler = ocp.StandardCheckpointHandler()
        saved = {**likes, "params": _in_dtypes(likes["params"], about.get("dtypes"))}
        for name, like in () if another else saved.items():
            found[name] = handler.restore((where / name).absolute(), args=ocp.args.StandardRestore(like))  # type: ignore[arg-type]
    except Exception as error:  # what Orbax, TensorStore and their decoders say of a damaged file is not bounded
        fault = _brief(error)
    faults = [other for other in processes.gather(fault) if other]
    if another or (silent and faults):
        _check_shapes(where, likes["params"])
    if another:
        raise UserError(f"{where} was saved by another optimizer or algorithm than that which is to go on from it")
    if faults:
        return {}, {}, faults[0]
    sums = about.get("sums", {})
    changed = [name for name in found if name in sums and int(programs.checksum(found[name])) != sums[name]]
    found["params"] = jax.tree.map(lambda x, like: x.astype(like.dtype), found["params"], likes["params"])
    return found, about, f"{' and '.join(changed)} not as saved, by the checksum" if changed else ""


def read_about(where: Path) -> dict[str, Any]:
    """What a checkpoint says of itself: {"sums", "shapes": a checksum and a digest of each item, "versions": of
    libraries, ...}; {} of one by an earlier version. Raises UserError for a damaged one."""
    file = where / "about" / "metadata"
    if not file.parent.is_dir() and (where / "params").is_dir():
        return {}
    about = files.read_json(file)
    if about.get("digest") != key_of(about.get("content")):
        raise UserError(f"{file} is not as it was saved")
    return about["content"]


def _shapes(name: str, tree: Any) -> str:
    """A digest of an item's names and shapes, and of its dtypes but for parameters, which may be read in another."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    dtypes = ["" if name == "params" else str(x.dtype) for _, x in leaves]
    return key_of([[jax.tree_util.keystr(path), list(np.shape(x)), dtype] for (path, x), dtype in zip(leaves, dtypes)])


def _in_dtypes(like: Any, dtypes: Sequence[str] | None) -> Any:
    """The declaration of a tree in the dtypes in which it was saved, so that the checksum is of what was saved."""
    leaves, structure = jax.tree.flatten(like)
    if dtypes is None or dtypes == [str(leaf.dtype) for leaf in leaves]:
        return like
    declared = [jax.ShapeDtypeStruct(x.shape, dtype, sharding=x.sharding) for x, dtype in zip(leaves, dtypes)]
    return structure.unflatten(declared)


def _unscored(place: Path) -> str:
    """What is wrong with a checkpoint's score; "" where it can be read."""
    try:
        float(_score(json.loads((place / "metrics" / "metrics").read_text(encoding="utf-8"))))
    except (OSError, ValueError, TypeError, KeyError) as error:
        return f"its score cannot be read: {_brief(error)}"
    return ""


@contextmanager
def _refusals(directory: Path) -> Iterator[None]:
    """Turns what a disk refuses into a UserError."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if not (refusal := _refusal(error)):
            raise
        raise UserError(
            f"{directory}: a checkpoint cannot be written ({refusal}). Those before it are whole: mend that, then the "
            "same command goes on from there"
        ) from None


def _refusal(error: Exception) -> str:
    """What a disk has refused, in the system's words; "" for an error of another kind. TensorStore states a number."""
    if isinstance(error, TimeoutError):  # Orbax measures its patience by the time of day
        return "it took too long, or the clock was set meanwhile"
    if isinstance(error, OSError):
        return error.strerror or _brief(error)
    stated = re.search(r"os_error_code='(\d+)'", str(error))
    return os.strerror(int(stated[1])) if stated else ""


def _brief(error: Exception) -> str:
    """The beginning of what an error says, on one line."""
    text = " ".join(str(error).partition(". See full TensorStore details")[0].split()) or type(error).__name__
    return text if len(text) <= 200 else f"{text[:200]}..."


def _score(metrics: Mapping[str, float]) -> float:
    return metrics["score"]


def identity(directory: Path) -> tuple[Path, int | None]:
    """(the checkpoint that `load_params` reads, the checksum of its parameters, if it states one)."""
    with _existing(directory) as checkpoints:
        where = checkpoints.directory / str(checkpoints.counting())
    return where, read_about(where).get("sums", {}).get("params")


def _existing(directory: Path) -> Checkpoints:
    """The checkpoints that a stage has left. Raises UserError when there are none."""
    missing = UserError(f"{directory} holds no checkpoint; run the stage that makes it first")
    if not directory.is_dir():
        raise missing
    checkpoints = Checkpoints(directory, keep=1, create=False)
    if not checkpoints.manager.all_steps():
        checkpoints.manager.close()
        raise missing
    return checkpoints


def load_params(directory: Path, model: Declared, mesh: Mesh, step: int | None = None) -> Params:
    """What a stage trained, in its training shards, from the checkpoint of `step`.

    Without one, from its best checkpoint or, where none has a score, its newest. Raises UserError when there is none,
    and when it is of another model.
    """
    with _existing(directory) as checkpoints:
        steps = checkpoints.manager.all_steps()
        if step is not None and step not in steps:
            there = ", ".join(map(str, sorted(steps)))
            raise UserError(f"{directory} has no checkpoint of step {step}; it has {there}")
        if step is None:
            step = checkpoints.counting()
        like = abstract_params(model, mesh)
        where = checkpoints.directory / str(step)
        found, _, fault = _read(where, {"params": like})
        if fault:
            raise UserError(
                f"{where}: the checkpoint is damaged ({fault}). Delete it and done/{directory.parent.name}.json of the "
                "run: the same command then trains the stage from the checkpoint before it"
            )
        return found["params"]


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
