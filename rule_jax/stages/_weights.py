"""The weights that a training stage begins from, and those that it leaves.

Without LoRA a stage's checkpoints hold all parameters. With LoRA they hold its adapter, which stands on what the stages
before it left: the base with their adapters merged in.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from rule_jax import checkpoint, hf, programs
from rule_jax.checkpoint import load_params
from rule_jax.errors import UserError
from rule_jax.models.decoder import Params
from rule_jax.stages import Run, Subject

MEMORIES = {"device": "device", "host": "pinned_host"}  # as the config and as JAX call them


def lineage(run: Run, stage: str) -> tuple[str, ...]:
    """The training stages whose work is in the result of `stage`, in order, itself last."""
    return tuple(run.trained[: run.trained.index(stage) + 1])


def before(run: Run, subject: Subject, stage: str) -> Params:
    """What a training stage begins from: the result of the stage before it, or the model as it came.

    In float32, since it is the start of what is trained; with LoRA it stays as it is and lies in the compute dtype,
    which is all that a forward pass reads of it.
    """
    dtype = run.compute_dtype if subject.tuning.keeps_base else jnp.float32
    earlier = lineage(run, stage)[:-1] if stage in run.trained else run.trained
    if earlier:
        return after(run, subject, earlier[-1], dtype)
    return hf.load_params(subject.path, subject.model, run.mesh, dtype)


def after(run: Run, subject: Subject, stage: str, dtype: Any = jnp.float32, step: int | None = None) -> Params:
    """Plain parameters of what a training stage left; without LoRA in float32, as they were trained.

    step: of the checkpoint; None: the newest. Raises UserError when the stage has none.
    """
    if not subject.tuning.keeps_base:
        trained = load_params(run.checkpoints(stage), subject.model, run.mesh, step)
        back = _negation(run, stage)
        if not back:
            return trained
        return jax.tree.map(lambda x, y: x - back * (y - x), before(run, subject, stage), trained)
    base = hf.load_params(subject.path, subject.model, run.mesh)
    merge = programs.make_merge(subject.model, subject.tuning, run.mesh, dtype, "train")
    return merge(base, adapter(run, subject, stage, step))


def adapter(run: Run, subject: Subject, stage: str, step: int | None = None) -> Params:
    """The adapters of a stage and of those before it as one, to be put on the model as it came. step: as in `after`."""
    *earlier, last = (run.checkpoints(name) for name in lineage(run, stage))
    left = [load_params(directory, subject.tuning, run.mesh) for directory in earlier]
    own = load_params(last, subject.tuning, run.mesh, step)
    if back := _negation(run, stage):  # b alone: the adapter is a @ b
        own = jax.tree_util.tree_map_with_path(lambda path, x: -back * x if path[-1].key.endswith("_b") else x, own)
    return functools.reduce(subject.tuning.join, [*left, own])


def _negation(run: Run, stage: str) -> float:
    """How far a task vector goes against what was learned (https://arxiv.org/abs/2212.04089): theta = theta_0 - so much
    times (theta_learned - theta_0). 0: a stage leaves what it learned."""
    return run.config.baseline.negation if stage == "baseline" else 0.0


def origin(run: Run, subject: Subject, stage: str, base: Params) -> dict[str, Any]:
    """What a training stage begins from, which is its reference: {"path", "dtype", "checksum"} of the parameters.

    Of the stage before it, the checksum is the one that its checkpoint states (None: it states none); what is merged
    from it differs from mesh to mesh in the last bits.
    """
    earlier = lineage(run, stage)[:-1]
    if not earlier:
        kind = jax.tree.leaves(base)[0].dtype.name
        return {"path": str(subject.path), "dtype": kind, "checksum": int(programs.checksum(base))}
    place, checksum = checkpoint.identity(run.checkpoints(earlier[-1]))
    return {"path": str(place.relative_to(run.workdir.absolute())), "dtype": "float32", "checksum": checksum}


def check_reference(run: Run) -> None:
    """Raises UserError for a config.model.reference_memory that is unknown, or asked for where there is no copy."""
    memory = run.config.model.reference_memory
    if memory not in MEMORIES:
        raise UserError(f"config.model.reference_memory={memory!r}: it must be one of {', '.join(MEMORIES)}")
    if memory == "host" and run.config.lora.rank:
        raise UserError(
            "config.model.reference_memory='host' with config.lora.rank: the reference is the base that the adapter "
            "stands on, so there is no copy to move; leave it at 'device'"
        )


def as_reference(run: Run, subject: Subject, base: Params) -> Params:
    """The base as the KL reference: in the compute dtype, which is all that a forward pass reads of it.

    It lies where config.model.reference_memory says; `on_device` brings it back.
    """
    if subject.tuning.keeps_base:
        return base
    cast = programs.make_cast(subject.model, run.mesh, run.compute_dtype, "train")
    return _moved(cast(base), MEMORIES[run.config.model.reference_memory])


def on_device(params: Params) -> Params:
    """A copy of parameters in the devices' memory; the parameters themselves where they lie there."""
    return _moved(params, MEMORIES["device"])


def _moved(params: Params, memory: str) -> Params:
    return jax.tree.map(lambda x: jax.device_put(x, x.sharding.with_memory_kind(memory)), params)
