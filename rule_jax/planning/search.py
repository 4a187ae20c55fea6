"""Which mesh, and which of the options that save memory: the shapes that a number of devices allows, tried and ranked.

What is certain is counted first (shards of what must be there, caches, the gradients' sums, what each layer keeps for
its backward pass), and shapes that cannot fit are left out. The rest are compiled, the likely fastest first, each with
as few of the options as it needs.
"""

import copy
import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from rule_jax import plugin, sharding
from rule_jax.errors import UserError
from rule_jax.planning.machines import Chip
from rule_jax.planning.needs import Need, compiled
from rule_jax.planning.shapes import Program, Shapes, held, programs_of, subject
from rule_jax.stages import TRAINING, Run, _selection, sparing_attention

LARGEST = ("rollout", "update")  # programs that are compiled; the others hold less
CHUNK = 256  # tokens of a prompt whose logits exist at once: fewer than if left to their size
Sizes = Mapping[str, int]  # of the mesh's axes


@dataclasses.dataclass(frozen=True)
class Choice:
    """A mesh with settings. guess: seconds of a step of stage 2 by rules of thumb, to be ordered by, not to be told."""

    mesh: Sizes
    settings: Mapping[str, Any]
    guess: float


@dataclasses.dataclass(frozen=True)
class Found:
    """A choice and what was found by compiling it."""

    choice: Choice
    needs: Sequence[Need]

    @property
    def fits(self) -> bool:
        return all(need.fits for need in self.needs)

    @property
    def step(self) -> float:
        """Seconds of the largest programs, once each, at best."""
        return sum(need.step for need in self.needs)

    def facts(self) -> dict[str, Any]:
        """Everything, as JSON can hold it."""
        return {
            "mesh": dict(self.choice.mesh),
            "settings": dict(self.choice.settings),
            "fits": self.fits,
            "step_s": self.step,
            "programs": [need.facts() for need in self.needs],
        }


def search(config: Any, devices: Sequence[Any], chip: Chip, wanted: int) -> Iterator[Found]:
    """Compiles choices until as many mesh shapes fit as are wanted; what does not fit is told too.

    Raises UserError where no mesh shape can hold the run.
    """
    fitting, tried = 0, False
    for choices in by_mesh(config, devices, chip):
        for choice in choices:
            run = run_of(config, devices, choice.mesh, choice.settings)
            made = [program for program in programs_of(run) if program.name in LARGEST]
            found = Found(choice, [compiled(program, devices[0], chip) for program in made])
            tried = True
            yield found
            if found.fits:
                fitting += 1
                break
        if fitting == wanted:
            return
    if not tried:
        raise UserError(
            f"no mesh of {len(devices)} x {devices[0].device_kind} holds this run, whatever is done to save memory: "
            "take more or larger devices, or train an adapter (config.lora.rank)"
        )


def by_mesh(config: Any, devices: Sequence[Any], chip: Chip) -> list[list[Choice]]:
    """For each mesh shape that the run's sizes allow and that is not certain to be too small, its choices with ever
    more options; the likely fastest first."""
    found = []
    alone = Run(config, Path("."), Path("."), sharding.make_mesh(data=len(devices), fsdp=1, tensor=1, devices=devices))
    kernel = sparing_attention(alone, subject(alone).model)
    for mesh in meshes(len(devices)):
        choices = []
        for settings in options(config, mesh, kernel):
            try:
                run = run_of(config, devices, mesh, settings)
                made = {program.name: program for program in programs_of(run)}
            except UserError:  # a size that the mesh does not divide
                break
            if chip.room is None or certain(run, made) <= chip.room:
                choices.append(Choice(mesh, settings, guess(run, chip)))
        if choices:
            found.append(choices)
    return sorted(found, key=lambda choices: choices[0].guess)


def meshes(devices: int) -> Iterator[Sizes]:
    """Every way to write a number of devices as data * fsdp * tensor."""
    for tensor in range(1, devices + 1):
        for fsdp in range(1, devices // tensor + 1):
            if devices % (tensor * fsdp) == 0:
                yield {"data": devices // (tensor * fsdp), "fsdp": fsdp, "tensor": tensor}


def options(config: Any, mesh: Sizes, kernel: str | None = None) -> list[dict[str, Any]]:
    """Settings that save ever more memory, those that cost least first; each has the ones before it too. kernel: of
    attention, one that saves some."""
    rebo, steering = config.boundary_optimization, config.rejection_steering
    ways = mesh["data"] * mesh["fsdp"]
    rows = max((rebo.forget_prompts + rebo.boundary_prompts) // ways, 1)
    small = {
        "model.logit_chunk": CHUNK,
        "boundary_optimization.microbatches": max(_updated(config) // ways, 1),
        "rejection_steering.microbatches": max(steering.batch // ways, 1),
    }
    ladder = [{}, small, *([{"model.attention": kernel}] if kernel else [])]
    ladder += [{"model.remat": True}, {"model.moments_dtype": "bfloat16"}]
    ladder += [{"boundary_optimization.rollout_parts": parts} for parts in (2, 4, 8, 16) if rows % parts == 0]
    if not config.lora.rank:
        ladder.append({"model.reference_memory": "host"})
    found: list[dict[str, Any]] = []
    for step in ladder:
        settings = {**(found[-1] if found else {}), **step}
        if settings not in found:
            found.append(settings)
    return found


def _updated(config: Any) -> int:
    """Prompts of one update of stage 2."""
    return _selection.prompts(config.boundary_optimization) // config.algorithm.updates.minibatches


def run_of(config: Any, devices: Sequence[Any], mesh: Sizes, settings: Mapping[str, Any]) -> Run:
    """The run on a mesh with settings of its own, checked. Raises UserError as the stages do."""
    own = copy.deepcopy(config)
    own.update_from_flattened_dict(dict(settings))
    own.mesh = dict(mesh)
    run = Run(own, Path("."), Path("."), sharding.make_mesh(**mesh, devices=devices))
    for stage in TRAINING:
        if stage in own.stages:
            plugin.load("stages", stage).check(run)
    return run


def certain(run: Run, made: Mapping[str, Program]) -> int:
    """Bytes on a device that the largest programs need whatever else they do."""
    settings, shapes = run.config.boundary_optimization, Shapes(run)
    c, mesh, width = shapes.model.config, run.mesh.shape, run.compute_dtype.itemsize
    rows = (settings.forget_prompts + settings.boundary_prompts) // sharding.row_shards(run.mesh)
    tokens = shapes.prompt + settings.samples * settings.max_new_tokens
    heads = c.kv_heads // mesh["tensor"] if c.kv_heads % mesh["tensor"] == 0 else 1
    caches = rows // settings.rollout_parts * tokens * c.layers * 2 * heads * c.head_dim * width
    updated = _updated(run.config) // sharding.row_shards(run.mesh)
    kept = updated // max(settings.microbatches, 1) * tokens * c.layers * c.width * width // mesh["tensor"]
    update = held(made["update"])
    return max(sum(held(made["rollout"]).values()) + caches, sum(update.values()) + update["trained"] + kept)


def guess(run: Run, chip: Chip) -> float:
    """Seconds of a step: weights gathered for each microbatch, activations summed over tensor, and decoding."""
    settings, shapes, mesh = run.config.boundary_optimization, Shapes(run), run.mesh.shape
    c, width, tensor = shapes.model.config, run.compute_dtype.itemsize, mesh["tensor"]
    weights = width * sum(math.prod(x.shape) for x in jax.tree.leaves(shapes.base)) / tensor
    rows = (settings.forget_prompts + settings.boundary_prompts) / sharding.row_shards(run.mesh)
    tokens = rows * (shapes.prompt + settings.samples * settings.max_new_tokens)
    gathered = 6 * max(settings.microbatches, 1) * weights * (1 - 1 / mesh["fsdp"])
    summed = 16 * c.layers * tokens * c.width * width * (1 - 1 / tensor)
    read = settings.max_new_tokens * settings.rollout_parts * weights
    return read / chip.bytes + (0.0 if chip.link is None else (gathered + summed) / chip.link)
