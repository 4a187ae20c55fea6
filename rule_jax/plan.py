"""Compiles the programs of a run for a machine that need not be there, and says whether its memory suffices.

    python -m rule_jax.plan --config=configs/rwku_llama3_8b_grpo.py --config.model.path=DIR --topology=v5e:4x4 [--json]

DIR needs its config.json and nothing else: weights are shapes, prompts and answers are as long as the config allows,
and nothing is allocated. --topology names a TPU slice, for which the real compiler runs on any machine
(`pip install 'rule_jax[tpu]'`); without it the devices of this machine are planned for. --programs=rollout,update picks
some. Exit codes: 0 everything fits, 1 something does not, 2 the input needs mending.

What a program needs on one device is counted by kind: what it is given and what lies beside it, by their shards, and
all else (gradients, activations, caches, results) as temporaries, by XLA's own figure for the compiled program.
"""

import dataclasses
import importlib.util
import json
import math
import os
import re
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from absl import flags
from jax.experimental import topologies

from rule_jax import batching, hf, plugin, programs, sharding
from rule_jax import main as main_command
from rule_jax.errors import UserError, nearest, one_line
from rule_jax.models import lora
from rule_jax.stages import Run, Subject, boundary_optimization, rejection_steering
from rule_jax.stages._likelihood import ALTERNATIVES
from rule_jax.stages._updates import Updates
from rule_jax.types import Packed, Prompts, Rollout

TOPOLOGY = flags.DEFINE_string("topology", "", "A TPU slice, like v5e:4x4; default: the devices of this machine.")
PROGRAMS = flags.DEFINE_list("programs", [], "Names of programs to plan; default: all of them.")
JSON = flags.DEFINE_bool("json", False, "Print JSON instead of a table.")

GIB = 2**30
# GiB of a device that programs may use, by jax's device_kind, as the compiler states them when it refuses a program.
ROOM = {"TPU v3": 15.48, "TPU v4": 15.25, "TPU v5 lite": 15.75, "TPU v5": 95.74, "TPU v6 lite": 31.25, "TPU7x": 94.75}
ANSWER, TEXT = 128, 4096  # tokens: long ones of what benchmarks have answered and scored
UPDATE = "microbatches (more of them), model.logit_chunk, model.remat, model.moments_dtype, mesh.fsdp, lora.rank"
SAMPLING = "mesh.tensor, model.moments_dtype, lora.rank, forget_prompts and boundary_prompts, samples, max_new_tokens"
KNOBS = {
    "rejection": UPDATE,
    "copy": SAMPLING,
    "rollout": SAMPLING,
    "targets": UPDATE,
    "update": f"{UPDATE}, model.reference_memory",
    "critic": UPDATE,
    "answers": "evaluate.batch, mesh.tensor",
    "scores": "evaluate.score_tokens, model.logit_chunk, mesh.tensor",
}


@dataclasses.dataclass(frozen=True)
class Program:
    """A program with the shapes that it is given. given: the trees in its arguments, by kind. beside: what lies on the
    devices meanwhile, by kind."""

    name: str
    function: Any
    arguments: Sequence[Any]
    given: Mapping[str, Any]
    beside: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Need:
    """What a program takes on one device. kinds: bytes by kind. room: bytes that the device has; None: not known."""

    program: str
    seconds: float
    kinds: Mapping[str, int]
    room: int | None

    @property
    def total(self) -> int:
        return sum(self.kinds.values())

    @property
    def fits(self) -> bool:
        return self.room is None or self.total <= self.room


def plan(run: Run, wanted: Sequence[str] = ()) -> Iterator[Need]:
    """Compiles the run's programs, or those named, one after the other. Raises UserError for an unknown name."""
    made = list(programs_of(run))
    names = [program.name for program in made]
    for name in wanted:
        if name not in names:
            raise UserError(f"--programs has {name!r}; this run has {', '.join(names)}.{nearest(name, names)}")
    for program in made:
        if not wanted or program.name in wanted:
            yield compiled(program, run.mesh.devices.flat[0])


def compiled(program: Program, device: Any) -> Need:
    """What a program takes, found by compiling it for devices like this one."""
    started = time.monotonic()
    try:
        lowered = program.function.lower(*program.arguments)
        most = _peak(lowered.compile().memory_analysis(), device.platform)
    except jax.errors.JaxRuntimeError as error:
        most = _refused(str(error))
    temporaries = max(most - shard_bytes(list(program.given.values())), 0)
    room = ROOM.get(device.device_kind)
    return Need(
        program.name,
        time.monotonic() - started,
        {**held(program), "temporaries": temporaries},
        None if room is None else int(room * GIB),
    )


def held(program: Program) -> dict[str, int]:
    """Bytes on one device by kind, of what a program is given and of what lies beside it."""
    kinds: dict[str, int] = {}
    for kind, tree in (*program.given.items(), *program.beside.items()):
        kinds[kind] = kinds.get(kind, 0) + shard_bytes(tree)
    return kinds


def _peak(analysis: Any, platform: str) -> int:
    """The bytes that a program holds at its worst moment, arguments and results included."""
    if platform == "tpu":
        # What the compiler compares with the chip's memory. Its temp_size counts once more what donation saves.
        return analysis.peak_memory_in_bytes
    results = analysis.output_size_in_bytes - analysis.alias_size_in_bytes
    return analysis.argument_size_in_bytes + results + analysis.temp_size_in_bytes


def _refused(message: str) -> int:
    """The bytes that a program would need, from the words in which the TPU's compiler refuses it."""
    found = re.search(r"memory required for HLO temporaries \(([\d.]+)([MG])\)", message)
    if not found:
        raise UserError(f"the compiler failed: {message.splitlines()[0]}")
    return int(float(found[1]) * {"M": 2**20, "G": GIB}[found[2]])


def shard_bytes(tree: Any) -> int:
    """Bytes of a tree of sharded shapes on one device. Random keys, a few bytes, count nothing."""
    leaves = [x for x in jax.tree.leaves(tree) if not jnp.issubdtype(x.dtype, jax.dtypes.prng_key)]
    return sum(math.prod(x.sharding.shard_shape(x.shape)) * x.dtype.itemsize for x in leaves)


class Shapes:
    """What the programs of a run are given, as shapes with their shardings.

    base: the model in the compute dtype, as training has it, and copy, as decoding has it. whole: in float32. reads:
    what the model reads beside what is trained. fixed: base by its kind, the KL reference or what an adapter stands on.
    """

    def __init__(self, run: Run):
        self.mesh, self.learner = run.mesh, subject(run)
        self.model, self.tuning = self.learner.model, self.learner.tuning
        self.base = self._params(run.compute_dtype, "train")
        self.whole = self._params(jnp.float32, "train")
        self.copy = self._params(run.compute_dtype, "decode")
        self.reads = self.base if self.tuning.keeps_base else {}
        self.fixed = {"base" if self.tuning.keeps_base else "reference": self.base}
        self.prompt = batching.bucket(run.config.boundary_optimization.max_prompt_tokens)
        self.number, self.step = self._scalar(jnp.float32), self._scalar(jnp.int32)

    def rows(self, *shape: int, dtype: Any = jnp.int32) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(shape, dtype, sharding=sharding.rows(self.mesh))

    def prompts(self, rows: int) -> Prompts:
        return Prompts(self.rows(rows, self.prompt), self.rows(rows))

    def packed(self, rows: int, length: int) -> Packed:
        tokens = self.rows(rows, length)
        return Packed(tokens, tokens, tokens, self.rows(rows, length, dtype=jnp.float32))

    def rollout(self, B: int, G: int, R: int) -> Rollout:
        return Rollout(
            self.prompts(B),
            response_BGR=self.rows(B, G, R),
            length_BG=self.rows(B, G),
            finished_BG=self.rows(B, G, dtype=jnp.bool_),
            logprobs_BGR=self.rows(B, G, R, dtype=jnp.float32),
        )

    def coefficients(self, names: Iterable[str]) -> dict[str, jax.ShapeDtypeStruct]:
        return dict.fromkeys(names, self.number)

    def _scalar(self, dtype: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((), dtype, sharding=sharding.replicated(self.mesh))

    def _params(self, dtype: Any, layout: str) -> Any:
        where = programs.param_shardings(self.model, self.mesh, layout)
        like = jax.eval_shape(self.model.init, jax.random.key(0))
        return jax.tree.map(lambda x, w: jax.ShapeDtypeStruct(x.shape, dtype, sharding=w), like, where)


def programs_of(run: Run) -> Iterator[Program]:
    """The programs of the run's stages in their order, at the largest shapes that its config allows."""
    shapes = Shapes(run)
    if rejection_steering.STAGE in run.config.stages:
        yield _of_rejection_steering(run, shapes)
    if boundary_optimization.STAGE in run.config.stages:
        yield from _of_boundary_optimization(run, shapes)
    if "evaluate" in run.config.stages:
        yield _generation("answers", shapes, run.config.evaluate.batch, 1, ANSWER, {"parameters": shapes.whole})
        ways = sharding.row_shards(run.mesh)
        rows = max(1, run.config.evaluate.score_tokens // (TEXT * ways)) * ways
        batch = shapes.packed(rows, TEXT), shapes.rows(rows, TEXT, ALTERNATIVES)
        score = programs.make_score(shapes.model, run.mesh, chunk=run.logit_chunk)
        given = {"rollout copy": shapes.copy, "batch": batch}
        yield Program("scores", score, (shapes.copy, *batch), given, {"parameters": shapes.whole})


def _of_rejection_steering(run: Run, shapes: Shapes) -> Program:
    settings = run.config.rejection_steering
    update, objective, optimizer = rejection_steering.update_program(run, shapes.learner)
    state = programs.abstract_state(shapes.tuning, run.mesh, optimizer)
    batch = shapes.packed(settings.batch, batching.bucket(settings.max_length))
    given = {"trained": state.params, "optimizer": state.opt_state, "base": shapes.reads, "batch": batch}
    arguments = state, shapes.reads, batch, shapes.number, shapes.coefficients(objective.coefficients)
    return Program("rejection", update, arguments, given, {})


def _of_boundary_optimization(run: Run, shapes: Shapes) -> Iterator[Program]:
    settings, mesh = run.config.boundary_optimization, run.mesh
    updates = Updates(run, shapes.learner, boundary_optimization.algorithm(run))
    algorithm = updates.algorithm
    state = programs.abstract_state(shapes.tuning, mesh, updates.optimizer)
    critic = updates.critic and programs.abstract_state(updates.critic, mesh, updates.critic_optimizer)
    values = {} if critic is None else {"critic": (critic.params, critic.opt_state)}
    trained = {"trained": state.params, "optimizer": state.opt_state}
    reference = {} if run.config.model.reference_memory == "host" else shapes.fixed

    merge = programs.make_merge(shapes.model, shapes.tuning, mesh, run.compute_dtype, "decode")
    given = {"trained": state.params, "base": shapes.reads}
    rest = {"optimizer": state.opt_state, **values, **({} if shapes.reads else reference)}
    yield Program("copy", merge, (shapes.reads, state.params), given, rest)

    prompts = settings.forget_prompts + settings.boundary_prompts
    rest = {**trained, **reference, **values}
    yield _generation("rollout", shapes, prompts, settings.samples, settings.max_new_tokens, rest)

    shape = settings.samples, settings.max_new_tokens
    fresh, replayed = (
        (shapes.rollout(rows, *shape), shapes.rows(rows, settings.samples, dtype=jnp.float32)) if rows else None
        for rows in (prompts, settings.replay.groups)
    )
    coefficients = shapes.coefficients({**algorithm.coefficients, "kl_coef": 0.0})
    arguments = state.params, shapes.base, critic and critic.params, fresh, replayed, coefficients
    batch, _ = jax.eval_shape(updates.targets, *arguments)
    given = {"trained": state.params, **shapes.fixed, "batch": (fresh, replayed)}
    if critic is not None:
        given["critic"] = critic.params
    if algorithm.scored:
        rest = {"optimizer": state.opt_state, **({} if critic is None else {"critic": critic.opt_state})}
        yield Program("targets", updates.targets, arguments, given, rest)

    def cut(x: Any) -> jax.ShapeDtypeStruct:
        return shapes.rows(x.shape[0] // algorithm.minibatches, *x.shape[1:], dtype=x.dtype)

    part, read = jax.tree.map(cut, batch), updates.read_by_update(shapes.base)
    given = {**trained, **(shapes.fixed if read else {}), "batch": part}
    rest = {**({} if read else reference), **values}
    yield Program("update", updates.update, (state, read, part, shapes.number, coefficients), given, rest)
    if critic is not None:
        given = {"critic": (critic.params, critic.opt_state), "batch": part}
        arguments = critic, (), part, shapes.number, coefficients
        yield Program("critic", updates.update_critic, arguments, given, {**trained, **reference})


def _generation(name: str, shapes: Shapes, rows: int, samples: int, answer: int, beside: Mapping[str, Any]) -> Program:
    generate = programs.make_generate(
        shapes.model, shapes.mesh, samples=samples, max_new_tokens=answer, eos_ids=shapes.learner.eos_ids
    )
    prompts = shapes.prompts(rows)
    key = jax.eval_shape(lambda: jax.random.key(0))
    arguments = shapes.copy, prompts, key, shapes.step, shapes.rows(rows), shapes.number
    return Program(name, generate, arguments, {"rollout copy": shapes.copy, "batch": prompts}, beside)


def subject(run: Run) -> Subject:
    """The model of config.model.path by its config.json alone. Raises UserError where there is none."""
    if not run.config.model.path:
        raise UserError("config.model.path is empty: name a directory with the config.json of the model to plan for")
    path = Path(run.config.model.path)
    model = hf.load_model(path, remat=run.config.model.remat)
    return Subject(path, model, lora.make(model, **run.config.lora), tokenizer=None, eos_ids=(0,))


def devices(topology: str) -> Sequence[Any]:
    """The devices of a TPU slice, or those of this machine. Raises UserError for an unknown one and without libtpu."""
    if not topology:
        return jax.devices()
    if importlib.util.find_spec("libtpu") is None:
        raise UserError(f"--topology={topology} needs the TPU's compiler: pip install 'rule_jax[tpu]'")
    os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")  # do not ask the cloud what machine this is
    os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")
    jax.config.update("jax_platforms", "cpu")
    try:
        return topologies.get_topology_desc(platform="tpu", topology_name=topology).devices
    except (jax.errors.JaxRuntimeError, ValueError) as error:
        known = "v4:2x2x1, v5e:2x2, v5e:4x4, v5p:2x2x1, v5p:2x2x2, v6e:4x4 and others of their kinds"
        raise UserError(f"--topology={topology} is not known ({str(error).splitlines()[0]}); known: {known}") from None


def table(needs: Sequence[Need]) -> str:
    """A row for each program: gigabytes on one device by kind, their sum, and whether that fits."""
    kinds = list(dict.fromkeys(kind for need in needs for kind in need.kinds if any(n.kinds.get(kind) for n in needs)))
    heads = ["program", *kinds, "sum", "of", "", "compiled in"]
    rows = [
        [
            need.program,
            *(f"{need.kinds[kind] / 1e9:.2f}" if need.kinds.get(kind) else "" for kind in kinds),
            f"{need.total / 1e9:.2f}",
            "?" if need.room is None else f"{need.room / 1e9:.2f}",
            "fits" if need.fits else "DOES NOT FIT",
            f"{need.seconds:.0f} s",
        ]
        for need in needs
    ]
    widths = [max(len(row[i]) for row in (heads, *rows)) for i in range(len(heads))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths)) for row in (heads, *rows))


def main(argv: Sequence[str]) -> None:
    if len(argv) > 1:
        raise UserError(f"unexpected argument {argv[1]!r}; options are written --name=value")
    config = main_command.CONFIG.value
    found = devices(TOPOLOGY.value)
    run = Run(config, Path("."), Path("."), sharding.make_mesh(**config.mesh, devices=found))
    for name in ("rejection_steering", "boundary_optimization"):
        if name in config.stages:
            plugin.load("stages", name).check(run)
    needs = list(plan(run, PROGRAMS.value))
    short = [need for need in needs if not need.fits]
    if JSON.value:
        print(json.dumps([{**dataclasses.asdict(need), "total": need.total, "fits": need.fits} for need in needs]))
    else:
        print(f"GB on each of {run.mesh.size} x {found[0].device_kind}, mesh {dict(run.mesh.shape)}")
        print(table(needs))
        for need in short:
            over = (need.total - (need.room or 0)) / 1e9
            print(f"{need.program} does not fit by {over:.2f} GB; turn {KNOBS[need.program]}")
    sys.exit(1 if short else 0)


def console() -> None:
    """Runs `main`; what a user can mend is one line and exit code 2."""
    with one_line():
        main(main_command.parse(sys.argv))


if __name__ == "__main__":
    console()
