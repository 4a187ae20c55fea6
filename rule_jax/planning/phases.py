"""What a step does, phase by phase, on the devices at hand: called to be timed, traced to be counted.

The programs are those of a run, and so is all between them.
"""

import copy
import dataclasses
import itertools
import math
import resource
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Callable, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rule_jax import batching, hf, plugin, programs, sharding
from rule_jax.checkpoint import Checkpoints
from rule_jax.models import lora
from rule_jax.ops.work import Work, work
from rule_jax.planning.machines import Ceilings, seconds
from rule_jax.planning.needs import peak
from rule_jax.stages import TRAINING, Run, Subject, boundary_optimization, load_model, rejection_steering
from rule_jax.stages._likelihood import cut
from rule_jax.stages._scoring import score
from rule_jax.stages._updates import Updates, lengths_of
from rule_jax.stages._weights import as_reference, on_device
from rule_jax.text import chat
from rule_jax.types import Packed, PromptRecord, Prompts

PHASES = ("rollout", "reward", "update", "step", "score", "sft")
NEVER = -1  # no token


class Shape(NamedTuple):
    """Of a step: prompts, answers to each, tokens of every prompt and, at most, of every answer."""

    prompts: int
    group: int
    prompt_len: int
    new_tokens: int


class Part(NamedTuple):
    """A program of a phase, traced at what it is given. trips: how often its `while` goes round. runs: in the phase."""

    traced: Any
    trips: int = 1
    runs: int = 1


class Phase(NamedTuple):
    """What is timed. call: all of it, once. parts: its programs. tokens: what it samples, or reads where it samples
    none."""

    name: str
    call: Callable[[], Any]
    parts: Callable[[], Sequence[Part]]
    tokens: int


def work_of(parts: Sequence[Part]) -> Work:
    """The matrix products of all parts, of all devices together."""
    return sum((work(part.traced.jaxpr, trips=part.trips).times(part.runs) for part in parts), Work())


def temporaries(parts: Sequence[Part]) -> int:
    """Bytes that one device holds at most beside what a part is given. Compiles, or reads from the cache."""
    found = [part.traced.lower().compile().memory_analysis() for part in parts]
    return max((peak(each, jax.default_backend()) - each.argument_size_in_bytes for each in found), default=0)


@dataclasses.dataclass(frozen=True)
class Timing:
    """A phase: seconds of the first call beyond the median (compilation) and of each later one, by the clock and as all
    cores together spent them, with the pages of memory that the kernel had to clear for it."""

    phase: Phase
    compile_s: float
    seconds: Sequence[float]
    cpu_seconds: Sequence[float]
    page_faults: Sequence[int]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def cpu_median(self) -> float:
        return statistics.median(self.cpu_seconds)

    def against(self, ceilings: Ceilings) -> dict[str, Any]:
        """Every figure of the phase. flops_share, bytes_share: of the ceilings; bound: which of the two limits it."""
        work = work_of(self.phase.parts())
        compute, memory = work.flops / ceilings.flops, work.bytes / ceilings.bytes
        return {
            "phase": self.phase.name,
            "compile_s": self.compile_s,
            "median_s": self.median,
            "min_s": min(self.seconds),
            "max_s": max(self.seconds),
            "cpu_s": self.cpu_median,
            "page_faults": statistics.median(self.page_faults),
            "tokens_per_s": self.phase.tokens / self.median,
            "flops": work.flops,
            "bytes": work.bytes,
            "flops_share": compute / self.median,
            "bytes_share": memory / self.median,
            "bound": "" if not work.flops else "compute" if compute >= memory else "memory",
        }


class Bench:
    """What the phases share: model, reference, policy, a batch of prompts and the programs of a run."""

    def __init__(self, run: Run, learner: Subject, eos: bool = False):
        self.run, self.learner, self.settings = run, learner, run.config.boundary_optimization
        settings, mesh, model = self.settings, run.mesh, learner.model
        B, rng = settings.forget_prompts + settings.boundary_prompts, np.random.default_rng(run.config.seed)
        P, R = settings.max_prompt_tokens, settings.max_new_tokens
        self.sampled, self.texts = B * settings.samples * R, (B * settings.samples, P + R)
        tokens_BP = rng.integers(4, model.config.vocab_size, (B, P)).astype(np.int32)
        self.prompts = sharding.put_rows(Prompts(tokens_BP, np.full(B, P, np.int32)), mesh)
        self.rows_B = sharding.put_rows(np.arange(B, dtype=np.int32), mesh)
        kinds = ["forget"] * settings.forget_prompts + ["boundary"] * settings.boundary_prompts
        self.records = [PromptRecord("", kind, "a", "b", ("an answer",)) for kind in kinds]  # type: ignore[arg-type]

        base = _weights(run, learner)
        self.updates = Updates(run, learner, boundary_optimization.algorithm(run))
        with Checkpoints(run.checkpoints(boundary_optimization.STAGE), 1) as none:
            self.training = self.updates.start(none, base, None)
        self.reference = as_reference(run, learner, base)
        self.merge = programs.make_merge(model, learner.tuning, mesh, run.compute_dtype, "decode")
        self.generate = programs.make_generate(
            model,
            mesh,
            samples=settings.samples,
            max_new_tokens=R,
            eos_ids=learner.eos_ids if eos else (NEVER,),
            parts=settings.rollout_parts,
        )
        self.rollout_arguments = (
            self.prompts, jax.random.key(0), np.int32(0), self.rows_B, np.float32(settings.temperature)
        )  # fmt: skip

    def rollout(self) -> Any:
        return jax.block_until_ready(self.generate(self.merge(*self._merged()), *self.rollout_arguments))

    def update(self, fresh: Any) -> None:
        self.training, metrics, _ = self.updates.apply(self.training, self.reference, fresh, 0)
        jax.block_until_ready((self.training.policy, metrics))

    def phases(self) -> Iterator[Phase]:
        """Each of PHASES, in their order. What is compiled for one is warm for the next."""
        yield Phase("rollout", self.rollout, self._parts_of_rollout, self.sampled)
        reward = plugin.make("rewards", self.run.config.reward.to_dict())
        rollout = self.updates.told(self.rollout(), self.records)
        rewards_BG = np.random.default_rng(0).random((len(self.records), self.settings.samples), np.float32)
        (chosen, rewards), _ = self.updates.chosen((rollout, sharding.put_rows(rewards_BG, self.run.mesh)), 0)
        fresh = self.updates.packed(chosen, lengths_of(chosen)), rewards

        def judged(rollout: Any) -> np.ndarray:
            return score(rollout, self.records, self.learner.tokenizer, reward).rewards_BG

        def step() -> None:
            rollout = self.updates.told(self.rollout(), self.records)
            chosen, _ = self.updates.chosen((rollout, sharding.put_rows(judged(rollout), self.run.mesh)), 0)
            self.update(chosen)

        def parts_of_step() -> list[Part]:
            return [*self._parts_of_rollout(), *self._parts_of_update(fresh)]

        yield Phase("reward", lambda: judged(rollout), list, self.sampled)
        yield Phase("update", lambda: self.update(fresh), lambda: self._parts_of_update(fresh), self.sampled)
        yield Phase("step", step, parts_of_step, self.sampled)
        yield self._scoring()
        yield self._sft()

    def _merged(self) -> tuple[Any, Any]:
        return self.updates.read_by_model(self.reference), self.training.policy.params

    def _parts_of_rollout(self) -> list[Part]:
        merge = self.merge.trace(*self._merged())  # type: ignore[attr-defined]
        params = self.merge(*self._merged())
        # The loop draws one token each time round; the first comes from the pass over the prompts.
        trips = self.settings.max_new_tokens - 1
        return [Part(merge), Part(self.generate.trace(params, *self.rollout_arguments), trips)]  # type: ignore[attr-defined]

    def _parts_of_update(self, fresh: Any) -> list[Part]:
        updates, (policy, critic, kl_coef, _) = self.updates, self.training
        algorithm, runs = updates.algorithm, updates.per_rollout
        coefficients = {**algorithm.coefficients, "kl_coef": kl_coef}
        arguments = policy.params, on_device(self.reference), critic and critic.params, fresh, None, coefficients
        batch, _ = jax.eval_shape(updates.targets, *arguments)
        if algorithm.minibatches > 1:  # whose answers may be packed otherwise, and are not here
            batch = batch[0]._replace(packing=None), batch[1]
        cuts, where = algorithm.minibatches, sharding.rows(self.run.mesh)
        part = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct((len(x) // cuts, *x.shape[1:]), x.dtype, sharding=where), batch
        )
        rest = part, updates.rate(0), coefficients
        read = updates.read_by_update(self.reference)
        parts = [
            Part(updates.targets.trace(*arguments)),  # type: ignore[attr-defined]
            Part(updates.update.trace(policy, read, *rest), runs=runs),  # type: ignore[attr-defined]
        ]
        if critic:
            parts.append(Part(updates.update_critic.trace(critic, (), *rest), runs=runs))  # type: ignore[attr-defined]
        return parts

    def _packed(self, rows: int) -> Packed:
        shape = rows, self.texts[1]
        tokens_BT = np.random.default_rng(1).integers(4, self.learner.model.config.vocab_size, shape)
        position_BT = np.broadcast_to(np.arange(shape[1], dtype=np.int32), shape)
        answer_BT = (position_BT >= shape[1] - self.settings.max_new_tokens).astype(np.float32)
        return Packed(tokens_BT.astype(np.int32), np.ones(shape, np.int32), position_BT, answer_BT)

    def _scoring(self) -> Phase:
        asks = programs.make_score(self.learner.model, self.run.mesh, chunk=self.run.logit_chunk)
        batches, rows = cut(self.run, *self.texts)
        packed = sharding.put_rows(self._packed(rows), self.run.mesh)
        asked_BTA = sharding.put_rows(np.asarray(packed.tokens_BT)[..., None], self.run.mesh)
        params = on_device(self.reference)  # plain parameters as the evaluation has them: stacked, in the compute dtype
        arguments = params, packed, packed.segment_BT, asked_BTA

        def parts() -> list[Part]:
            return [Part(asks.trace(*arguments), runs=batches)]  # type: ignore[attr-defined]

        def all_of_them() -> Any:
            return [jax.block_until_ready(asks(*arguments)) for _ in range(batches)]

        return Phase("score", all_of_them, parts, batches * rows * self.texts[1])

    def _sft(self) -> Phase:
        update, objective, optimizer = rejection_steering.update_program(self.run, self.learner)
        base = self.updates.read_by_model(self.reference)
        key, start = jax.random.key(0), self.training.policy.params
        state = [programs.init_state(self.learner.tuning, self.run.mesh, optimizer, start, key)]
        rows = sharding.put_rows(batching.asking(self._packed(self.texts[0])), self.run.mesh)
        arguments = base, rows, np.float32(1e-4), objective.coefficients

        def one() -> None:
            state[0], metrics = update(state[0], *arguments)
            jax.block_until_ready((state[0], metrics))

        def parts() -> list[Part]:
            return [Part(update.trace(state[0], *arguments))]  # type: ignore[attr-defined]

        return Phase("sft", one, parts, math.prod(self.texts))


def measure(bench: Bench, wanted: Sequence[str], repeats: int) -> Iterator[Timing]:
    """Times the phases that are wanted, one after the other. Those behind the last of them are not even prepared."""
    for phase in itertools.islice(bench.phases(), 1 + max(map(PHASES.index, wanted))):
        if phase.name in wanted:
            taken = [_taken(phase.call) for _ in range(1 + repeats)]
            (first, *_), (later, *rest) = taken[0], zip(*taken[1:])
            yield Timing(phase, max(first - statistics.median(later), 0.0), later, *rest)


def _taken(call: Callable[[], Any]) -> tuple[float, float, int]:
    """(seconds, seconds of all cores, page faults) of a call."""
    before, faults = time.process_time(), _page_faults()
    by_clock = seconds(call)
    return by_clock, time.process_time() - before, _page_faults() - faults


def _page_faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def shaped(config: Any, shape: Shape) -> Any:
    """A copy of the config with steps of that shape, which begin from the model that it names."""
    config = copy.deepcopy(config)
    earlier = {*TRAINING} - {boundary_optimization.STAGE}
    config.stages = tuple(stage for stage in config.stages if stage not in earlier)
    rebo = config.boundary_optimization
    rebo.kept_prompts = rebo.kept_prompts * shape.prompts // (rebo.forget_prompts + rebo.boundary_prompts)
    rebo.boundary_prompts = shape.prompts // 2
    rebo.forget_prompts = shape.prompts - rebo.boundary_prompts
    rebo.samples, rebo.max_prompt_tokens, rebo.max_new_tokens = shape[1:]
    config.rejection_steering.batch = shape.prompts * shape.group
    config.rejection_steering.microbatches = rebo.microbatches
    return config


def checked(config: Any, place: Path) -> Run:
    """The run of a config on the devices at hand. Raises UserError where its steps cannot be."""
    run = Run(config, place, place, sharding.make_mesh(**config.mesh))
    boundary_optimization.check(run)
    rejection_steering.check(run)
    return run


def subject(run: Run, *, decodes: bool) -> Subject:
    """The model of the directory; a tokenizer only for phases that decode answers."""
    path = Path(run.config.model.path)
    model = load_model(run, path)
    tokenizer = chat.load_tokenizer(path, "plain") if decodes else None
    return Subject(path, model, lora.make(model, **run.config.lora), tokenizer, hf.eos_ids(path))


def has_weights(directory: Path) -> bool:
    return any(directory.glob("*.safetensors"))


def _weights(run: Run, learner: Subject) -> Any:
    """The directory's weights, as a stage begins from them, or random ones where it has none."""
    dtype = run.compute_dtype if learner.tuning.keeps_base else jnp.float32
    if has_weights(learner.path):
        return hf.load_params(learner.path, learner.model, run.mesh, dtype)
    return programs.cast(programs.init_params(learner.model, run.mesh, jax.random.key(0)), dtype)
