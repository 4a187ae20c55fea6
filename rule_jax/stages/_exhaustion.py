"""What to do when a stage runs out of memory: how much lies there, and the knobs, the cheapest first."""

from collections.abc import Iterator
from contextlib import contextmanager

import jax
import jax.numpy as jnp

from rule_jax.errors import UserError
from rule_jax.stages import TRAINING, Run, sparing_attention, subject

EXHAUSTED = "RESOURCE_EXHAUSTED"
SAMPLING = "boundary_optimization"  # the stage that samples, and reads a reference
WORDS = 160  # characters of the runtime's own words, which name the size that was asked for


@contextmanager
def told(run: Run, stage: str) -> Iterator[None]:
    """Turns the exhaustion of a device's memory, or of the host's, in a stage into a UserError."""
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if EXHAUSTED not in str(error):
            raise
        raise UserError(_message(run, stage, " ".join(str(error).split())[:WORDS])) from None
    except MemoryError as error:
        raise UserError(_message(run, stage, str(error)[:WORDS] or "of this host")) from None


def _message(run: Run, stage: str, words: str) -> str:
    limit = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")
    room = f"; the device has {limit / 1e9:.1f} GB" if limit else ""
    lying = ", ".join(f"{name} {size / 1e9:.3g} GB" for name, size in sizes(run, stage).items())
    held = f" On each device must lie: {lying}, and what is computed from them." if lying else ""
    return (
        f"{stage} ran out of memory ({words}{room}).{held} Turn, the cheapest first: {'; '.join(knobs(run, stage))}. "
        "python -m rule_jax.plan says what fits. What was saved is kept: a setting may be changed in a new --workdir"
    )


def sizes(run: Run, stage: str) -> dict[str, float]:
    """Bytes on each device by what they are, as far as the model is known by now."""
    if not (run.workdir / "data" / "model.json").exists():
        return {}
    learner, settings = subject(run), run.config.model
    shards = run.mesh.shape["fsdp"] * run.mesh.shape["tensor"]
    model, trained = (
        sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(of.init, jax.random.key(0)))) / shards
        for of in (learner.model, learner.tuning)
    )
    width = run.compute_dtype.itemsize
    if stage not in TRAINING:
        return {"parameters": (4 + width) * model}
    found = {"parameters": 4 * trained, "moments": 2 * jnp.dtype(settings.moments_dtype).itemsize * trained}
    found["gradients"] = 4 * trained
    if learner.tuning.keeps_base or (stage == SAMPLING and settings.reference_memory == "device"):
        found["reference"] = width * model
    if stage == SAMPLING:
        found["parameters for sampling"] = width * model * run.mesh.shape["fsdp"]
    return found


def knobs(run: Run, stage: str) -> list[str]:
    """The settings to turn, with what they are and what they should become; those that are turned already are left."""
    config, model = run.config, run.config.model
    found: list[tuple[bool, str]] = []
    if stage in TRAINING:
        kernel = sparing_attention(run, subject(run).model)
        found = [
            (True, f"config.{stage}.microbatches={config[stage].microbatches} up"),
            (not model.logit_chunk, "config.model.logit_chunk=0 to 256 or less"),
            (bool(kernel), f"config.model.attention={model.attention} to {kernel}"),
            (not model.remat, "config.model.remat=False to True"),
            (model.moments_dtype == "float32", "config.model.moments_dtype=float32 to bfloat16"),
            (model.reference_memory == "device" and not config.lora.rank, "config.model.reference_memory to host"),
        ]
        if stage == SAMPLING:
            found += [
                (True, f"config.{stage}.{name}={config[stage][name]} down") for name in ("samples", "max_new_tokens")
            ]
        found.append((not config.lora.rank, "config.lora.rank=0 to 16"))
    elif stage == "prepare_data":
        found = [(True, f"config.world.rows={config.world.rows} down")]
    else:
        found = [(True, f"config.evaluate.{name}={config.evaluate[name]} down") for name in ("batch", "score_tokens")]
        found.append((not model.logit_chunk, "config.model.logit_chunk=0 to 256 or less"))
    found.append((True, f"config.mesh.fsdp={config.mesh.fsdp} up, on more devices"))
    return [text for wanted, text in found if wanted]
