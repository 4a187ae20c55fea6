"""The programs of a run with the shapes they are given, the largest that its config allows. Nothing is allocated."""

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from rule_jax import batching, offline, programs, sharding
from rule_jax.errors import UserError
from rule_jax.models import lora
from rule_jax.models.layouts import laid_out
from rule_jax.stages import Run, Subject, _selection, baseline, boundary_optimization, load_model, rejection_steering
from rule_jax.stages._likelihood import ALTERNATIVES, rows_at_once
from rule_jax.stages._updates import Updates
from rule_jax.types import Packed, Prompts, Rollout

ANSWER, TEXT = 128, 4096  # tokens: long ones of what benchmarks have answered and scored


@dataclasses.dataclass(frozen=True)
class Program:
    """A program with the shapes that it is given. given: the trees in its arguments, by kind. beside: what lies on the
    devices meanwhile, by kind. stage: whose it is. times: how often it runs in training; 0: the data decide that."""

    name: str
    function: Any
    arguments: Sequence[Any]
    given: Mapping[str, Any]
    beside: Mapping[str, Any]
    stage: str
    times: int = 0


def held(program: Program) -> dict[str, int]:
    """Bytes on one device by kind, of what a program is given and of what lies beside it."""
    kinds: dict[str, int] = {}
    for kind, tree in (*program.given.items(), *program.beside.items()):
        kinds[kind] = kinds.get(kind, 0) + shard_bytes(tree)
    return kinds


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
            forget_B=self.rows(B, dtype=jnp.bool_),
        )

    def coefficients(self, names: Iterable[str]) -> dict[str, jax.ShapeDtypeStruct]:
        return dict.fromkeys(names, self.number)

    def _scalar(self, dtype: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((), dtype, sharding=sharding.replicated(self.mesh))

    def _params(self, dtype: Any, layout: sharding.Layout) -> Any:
        where = programs.param_shardings(self.model, self.mesh, layout)
        like = jax.eval_shape(lambda key: laid_out(self.model.init(key), layout), jax.random.key(0))
        return jax.tree.map(lambda x, w: jax.ShapeDtypeStruct(x.shape, dtype, sharding=w), like, where)


def programs_of(run: Run) -> Iterator[Program]:
    """The programs of the run's stages in their order, at the largest shapes that its config allows."""
    shapes = Shapes(run)
    if rejection_steering.STAGE in run.config.stages:
        yield _of_rejection_steering(run, shapes)
    if boundary_optimization.STAGE in run.config.stages:
        yield from _of_boundary_optimization(run, shapes)
    if baseline.STAGE in run.trained:
        yield _of_baseline(run, shapes)
    if "evaluate" in run.config.stages:
        rest = {"parameters": shapes.whole}
        yield _generation("answers", shapes, run.config.evaluate.batch, 1, ANSWER, rest, "evaluate")
        rows = rows_at_once(run, TEXT)
        batch = shapes.packed(rows, TEXT), shapes.rows(rows, TEXT), shapes.rows(rows, TEXT, ALTERNATIVES)
        score = programs.make_score(shapes.model, run.mesh, chunk=run.logit_chunk)
        given = {"scoring copy": shapes.base, "batch": batch}
        yield Program("scores", score, (shapes.base, *batch), given, rest, "evaluate")


def _of_rejection_steering(run: Run, shapes: Shapes) -> Program:
    settings = run.config.rejection_steering
    update, objective, optimizer = rejection_steering.update_program(run, shapes.learner)
    state = programs.abstract_state(shapes.tuning, run.mesh, optimizer)
    batch = shapes.packed(settings.batch, batching.bucket(settings.max_length))
    given = {"trained": state.params, "optimizer": state.opt_state, "base": shapes.reads, "batch": batch}
    arguments = state, shapes.reads, batch, shapes.number, shapes.coefficients(objective.coefficients)
    return Program("rejection", update, arguments, given, {}, rejection_steering.STAGE, settings.steps)


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
    stage, steps = boundary_optimization.STAGE, settings.steps
    yield Program("copy", merge, (shapes.reads, state.params), given, rest, stage, steps)

    prompts = settings.forget_prompts + settings.boundary_prompts
    rest = {**trained, **reference, **values}
    shape = settings.samples, settings.max_new_tokens
    yield _generation("rollout", shapes, prompts, *shape, rest, stage, steps, settings.rollout_parts)

    fresh, replayed = (
        (shapes.rollout(rows, *shape), shapes.rows(rows, settings.samples, dtype=jnp.float32)) if rows else None
        for rows in (_selection.prompts(settings), settings.replay.groups)
    )
    coefficients = shapes.coefficients({**algorithm.coefficients, "kl_coef": 0.0})
    arguments = state.params, shapes.base, critic and critic.params, fresh, replayed, coefficients
    batch, _ = jax.eval_shape(updates.targets, *arguments)
    given = {"trained": state.params, **shapes.fixed, "batch": (fresh, replayed)}
    if critic is not None:
        given["critic"] = critic.params
    if algorithm.scored:
        rest = {"optimizer": state.opt_state, **({} if critic is None else {"critic": critic.opt_state})}
        yield Program("targets", updates.targets, arguments, given, rest, stage, steps)

    def cut(x: Any) -> jax.ShapeDtypeStruct:
        return shapes.rows(x.shape[0] // algorithm.minibatches, *x.shape[1:], dtype=x.dtype)

    part, read = jax.tree.map(cut, batch), updates.read_by_update(shapes.base)
    given = {**trained, **(shapes.fixed if read else {}), "batch": part}
    rest = {**({} if read else reference), **values}
    arguments, times = (state, read, part, shapes.number, coefficients), steps * updates.per_rollout
    yield Program("update", updates.update, arguments, given, rest, stage, times)
    if critic is not None:
        given = {"critic": (critic.params, critic.opt_state), "batch": part}
        arguments = critic, (), part, shapes.number, coefficients
        yield Program("critic", updates.update_critic, arguments, given, {**trained, **reference}, stage, times)


def _of_baseline(run: Run, shapes: Shapes) -> Program:
    settings = run.config.baseline
    update, made, optimizer = baseline.update_program(run, shapes.learner)
    state = programs.abstract_state(shapes.tuning, run.mesh, optimizer)
    answers = {"preference": 2}  # behind one question, where it is more than one
    lengths = {part: batching.bucket(settings.max_length * answers.get(part, 1)) for part in baseline.read(made)}
    batch = {part: shapes.packed(settings.batch, length) for part, length in lengths.items()}
    fixed = shapes.fixed if shapes.reads or offline.reads_reference(made) else {}
    given = {"trained": state.params, "optimizer": state.opt_state, **fixed, "batch": batch}
    numbers = jax.tree.map(lambda _: shapes.number, offline.coefficients(made))
    arguments = state, shapes.base if fixed else {}, batch, shapes.number, numbers
    return Program(baseline.STAGE, update, arguments, given, {}, baseline.STAGE, settings.steps)


def _generation(
    name: str,
    shapes: Shapes,
    rows: int,
    samples: int,
    answer: int,
    beside: Mapping[str, Any],
    stage: str,
    times: int = 0,
    parts: int = 1,
) -> Program:
    eos_ids = shapes.learner.eos_ids
    generate = programs.make_generate(
        shapes.model, shapes.mesh, samples=samples, max_new_tokens=answer, eos_ids=eos_ids, parts=parts
    )
    prompts = shapes.prompts(rows)
    key = jax.eval_shape(lambda: jax.random.key(0))
    arguments = shapes.copy, prompts, key, shapes.step, shapes.rows(rows), shapes.number
    return Program(name, generate, arguments, {"rollout copy": shapes.copy, "batch": prompts}, beside, stage, times)


def subject(run: Run) -> Subject:
    """The model of config.model.path by its config.json alone. Raises UserError where there is none."""
    if not run.config.model.path:
        raise UserError("config.model.path is empty: name a directory with the config.json of the model to plan for")
    path = Path(run.config.model.path)
    model = load_model(run, path)
    return Subject(path, model, lora.make(model, **run.config.lora), tokenizer=None, eos_ids=(0,))
