"""Times what a run does, with the programs of a run: the first thing to start on new hardware.

    python -m rule_jax.bench --model=HF_DIR --prompts=8 --group=8 --prompt_len=24 --new_tokens=24
        [--phases=rollout,reward,update,step,score,sft] [--dtype=float32] [--mesh=data=1,fsdp=4,tensor=2]
        [--repeats=5] [--eos] [--json]

A directory without weights gets random ones. Prompts are random tokens, and answers are all new_tokens long unless
--eos is given. Everything else is as --config (default configs/grpo.py) and its --config.… settings say: another
algorithm, LoRA, microbatches, remat.

  rollout   parameters in the decoding layout, then the group of answers to every prompt
  reward    answers to text and to rewards, on the host
  update    all of a step after that: reference, advantages, gradients, the optimizer; a critic, where there is one
  step      the three together: one GRPO step, as the stage does it
  score     log-probabilities of texts of prompt_len + new_tokens, as many as answers, as the evaluation asks for them
  sft       an update of rejection steering on as many texts

The first call compiles (from the cache where it can) and is told apart. FLOPs and bytes are those of the programs'
matrix products (ops/work.py); the ceilings are a large product and a large copy, timed in the same run on one device
and taken times the number of devices. "of matmul" and "of copy" say how much of them a phase reaches, `bound` which of
the two would limit it at best.
"""

import dataclasses
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Callable

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from rule_jax import hf, plugin, programs, sharding, telemetry
from rule_jax import main as main_command
from rule_jax.checkpoint import Checkpoints
from rule_jax.errors import UserError, nearest, one_line
from rule_jax.models import lora
from rule_jax.ops.work import Work, work
from rule_jax.planning.machines import Ceilings, ceilings, seconds
from rule_jax.stages import TRAINING, Run, Subject, boundary_optimization, rejection_steering
from rule_jax.stages._scoring import score
from rule_jax.stages._updates import Updates
from rule_jax.stages._weights import as_reference, on_device
from rule_jax.text import chat
from rule_jax.types import Packed, PromptRecord, Prompts

PHASES = ("rollout", "reward", "update", "step", "score", "sft")
MODEL = flags.DEFINE_string("model", None, "The HF directory to time; config.json alone will do.")
PROMPTS = flags.DEFINE_integer("prompts", 8, "Prompts in a step.", lower_bound=1)
GROUP = flags.DEFINE_integer("group", 8, "Answers to each.", lower_bound=1)
PROMPT_LEN = flags.DEFINE_integer("prompt_len", 24, "Tokens of every prompt.", lower_bound=1)
NEW_TOKENS = flags.DEFINE_integer("new_tokens", 24, "Tokens of every answer, at most.", lower_bound=1)
WANTED = flags.DEFINE_list("phases", list(PHASES), "What to time.")
DTYPE = flags.DEFINE_string("dtype", "auto", "What is computed in: float32, bfloat16, or auto.")
MESH = flags.DEFINE_string("mesh", "", "Sizes of the mesh's axes, like data=1,fsdp=4,tensor=2; default: the config's.")
REPEATS = flags.DEFINE_integer("repeats", 5, "Timed calls after the first.", lower_bound=1)
EOS = flags.DEFINE_bool("eos", False, "Answers end at the model's end token, as in a run.")
JSON = flags.DEFINE_bool("json", False, "Print JSON instead of a table.")
NEVER = -1  # no token


@dataclasses.dataclass(frozen=True)
class Timing:
    """One phase: seconds of the first call beyond the median (compilation) and of each later one; tokens of a call."""

    phase: str
    compile_s: float
    seconds: Sequence[float]
    tokens: int
    work: Work

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    def against(self, ceilings: Ceilings) -> dict[str, Any]:
        """Every figure of the phase. flops_share, bytes_share: of the ceilings; bound: which of the two limits it."""
        compute, memory = self.work.flops / ceilings.flops, self.work.bytes / ceilings.bytes
        return {
            "phase": self.phase,
            "compile_s": self.compile_s,
            "median_s": self.median,
            "min_s": min(self.seconds),
            "max_s": max(self.seconds),
            "tokens_per_s": self.tokens / self.median,
            "flops": self.work.flops,
            "bytes": self.work.bytes,
            "flops_share": compute / self.median,
            "bytes_share": memory / self.median,
            "bound": "" if not self.work.flops else "compute" if compute >= memory else "memory",
        }


class Bench:
    """What the phases share: model, reference, policy, a batch of prompts and the programs of a run."""

    def __init__(self, run: Run, learner: Subject, prompt_len: int, eos: bool):
        self.run, self.learner, self.settings = run, learner, run.config.boundary_optimization
        settings, mesh, model = self.settings, run.mesh, learner.model
        B, rng = settings.forget_prompts + settings.boundary_prompts, np.random.default_rng(run.config.seed)
        self.answers, self.length = B * settings.samples, prompt_len + settings.max_new_tokens
        tokens_BP = rng.integers(4, model.config.vocab_size, (B, prompt_len)).astype(np.int32)
        self.prompts = sharding.put_rows(Prompts(tokens_BP, np.full(B, prompt_len, np.int32)), mesh)
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
            max_new_tokens=settings.max_new_tokens,
            eos_ids=learner.eos_ids if eos else (NEVER,),
            parts=settings.rollout_parts,
        )
        self.rollout_arguments = (
            self.prompts, jax.random.key(0), np.int32(0), self.rows_B, np.float32(settings.temperature)
        )  # fmt: skip
        self.answers_tokens = self.answers * settings.max_new_tokens

    def params(self) -> Any:
        return self.merge(self.updates.read_by_model(self.reference), self.training.policy.params)

    def rollout(self) -> Any:
        return jax.block_until_ready(self.generate(self.params(), *self.rollout_arguments))

    def update(self, fresh: Any) -> None:
        self.training, metrics, _ = self.updates.apply(self.training, self.reference, fresh, 0)
        jax.block_until_ready((self.training.policy, metrics))

    def phases(self) -> Iterator[tuple[str, Callable[[], Any], Callable[[], Work]]]:
        """(name, one call, its work) of each of PHASES. What is compiled for one is warm for the next."""
        yield "rollout", self.rollout, self._work_of_rollout
        reward = plugin.make("rewards", self.run.config.reward.to_dict())
        rollout = self.rollout()
        rewards_BG = np.random.default_rng(0).random((len(self.records), self.settings.samples), np.float32)
        fresh = rollout, sharding.put_rows(rewards_BG, self.run.mesh)

        def judged(rollout: Any) -> np.ndarray:
            return score(rollout, self.records, self.learner.tokenizer, reward).rewards_BG

        def step() -> None:
            rollout = self.rollout()
            self.update((rollout, sharding.put_rows(judged(rollout), self.run.mesh)))

        yield "reward", lambda: judged(rollout), Work
        yield "update", lambda: self.update(fresh), lambda: self._work_of_update(fresh)
        yield "step", step, lambda: self._work_of_rollout() + self._work_of_update(fresh)
        yield "score", *self._scoring()
        yield "sft", *self._sft()

    def _work_of_rollout(self) -> Work:
        # The loop draws one token each time round; the first comes from the pass over the prompts.
        traced = self.generate.trace(self.params(), *self.rollout_arguments)  # type: ignore[attr-defined]
        return work(traced.jaxpr, trips=self.settings.max_new_tokens - 1)

    def _work_of_update(self, fresh: Any) -> Work:
        updates, (policy, critic, kl_coef, _) = self.updates, self.training
        algorithm = updates.algorithm
        coefficients = {**algorithm.coefficients, "kl_coef": kl_coef}
        arguments = policy.params, on_device(self.reference), critic and critic.params, fresh, None, coefficients
        targets, updated = work(updates.targets.trace(*arguments).jaxpr, trips=1), Work()  # type: ignore[attr-defined]
        batch, _ = jax.eval_shape(updates.targets, *arguments)
        rows = len(self.records) // algorithm.minibatches
        part = jax.tree.map(lambda x: jax.ShapeDtypeStruct((rows, *x.shape[1:]), x.dtype), batch)
        rest = part, np.float32(0), coefficients
        read = updates.read_by_update(self.reference)
        updated += work(updates.update.trace(policy, read, *rest).jaxpr, trips=1)  # type: ignore[attr-defined]
        if critic:
            updated += work(updates.update_critic.trace(critic, (), *rest).jaxpr, trips=1)  # type: ignore[attr-defined]
        return targets + updated.times(updates.per_rollout)

    def _texts(self) -> Packed:
        shape = self.answers, self.length
        tokens_BT = np.random.default_rng(1).integers(4, self.learner.model.config.vocab_size, shape).astype(np.int32)
        position_BT = np.broadcast_to(np.arange(self.length, dtype=np.int32), shape)
        return sharding.put_rows(
            Packed(tokens_BT, np.ones(shape, np.int32), position_BT, np.ones(shape, np.float32)), self.run.mesh
        )

    def _scoring(self) -> tuple[Callable[[], Any], Callable[[], Work]]:
        asks = programs.make_score(self.learner.model, self.run.mesh, chunk=self.run.logit_chunk)
        packed = self._texts()
        asked_BTA = sharding.put_rows(np.asarray(packed.tokens_BT)[..., None], self.run.mesh)
        params = on_device(self.reference)  # plain parameters as the evaluation has them: stacked, in the compute dtype
        return (
            lambda: jax.block_until_ready(asks(params, packed, packed.segment_BT, asked_BTA)),
            lambda: work(asks.trace(params, packed, packed.segment_BT, asked_BTA).jaxpr, trips=1),  # type: ignore[attr-defined]
        )

    def _sft(self) -> tuple[Callable[[], Any], Callable[[], Work]]:
        update, objective, optimizer = rejection_steering.update_program(self.run, self.learner)
        base = self.updates.read_by_model(self.reference)
        key, start = jax.random.key(0), self.training.policy.params
        state = [programs.init_state(self.learner.tuning, self.run.mesh, optimizer, start, key)]
        arguments = base, self._texts(), np.float32(1e-4), objective.coefficients

        def one() -> None:
            state[0], metrics = update(state[0], *arguments)
            jax.block_until_ready((state[0], metrics))

        return one, lambda: work(update.trace(state[0], *arguments).jaxpr, trips=1)  # type: ignore[attr-defined]


def measure(bench: Bench, wanted: Sequence[str], repeats: int) -> Iterator[Timing]:
    """Times the phases that are wanted, one after the other."""
    for name, call, its_work in bench.phases():
        if name in wanted:
            taken = [seconds(call) for _ in range(1 + repeats)]
            first, later = taken[0], taken[1:]
            texts = name in ("score", "sft")
            tokens = bench.answers * bench.length if texts else bench.answers_tokens
            yield Timing(name, max(first - statistics.median(later), 0.0), later, tokens, its_work())


def peak_bytes() -> int:
    """The most memory that was held so far: of the first device, or of this process where the CPU is the device."""
    stats = jax.local_devices()[0].memory_stats()
    if stats and "peak_bytes_in_use" in stats:
        return stats["peak_bytes_in_use"]
    return telemetry.peak_rss_bytes()


def table(found: Sequence[dict[str, Any]]) -> str:
    """A row for each phase."""
    heads = ["phase", "compile s", "median s", "min", "max", "tokens/s", "TFLOP", "of matmul", "GB", "of copy", "bound"]
    rows = [
        [
            row["phase"],
            f"{row['compile_s']:.1f}",
            *(f"{row[name]:.4f}" for name in ("median_s", "min_s", "max_s")),
            f"{row['tokens_per_s']:,.0f}",
            *(
                (f"{row['flops'] / 1e12:.4f}", f"{row['flops_share']:.0%}", f"{row['bytes'] / 1e9:.2f}")
                if row["bound"]
                else ("", "", "")
            ),
            f"{row['bytes_share']:.0%}" if row["bound"] else "",
            row["bound"],
        ]
        for row in found
    ]
    widths = [max(len(line[i]) for line in (heads, *rows)) for i in range(len(heads))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(line, widths)) for line in (heads, *rows))


def configured() -> Any:
    """The config of the flags: those of this command stand above the config file's."""
    config = main_command.CONFIG.value
    if not MODEL.value:
        raise UserError("--model is missing: name an HF directory; its config.json alone will do")
    for name in WANTED.value:
        if name not in PHASES:
            raise UserError(f"--phases has {name!r}; they are {', '.join(PHASES)}.{nearest(name, PHASES)}")
    config.model.path, config.model.compute_dtype = MODEL.value, DTYPE.value
    for pair in filter(None, MESH.value.split(",")):
        axis, _, size = pair.partition("=")
        if axis not in config.mesh or not size.lstrip("-").isdigit():
            raise UserError(f"--mesh={MESH.value}: it is written like data=1,fsdp=4,tensor=2")
        config.mesh[axis] = int(size)
    rebo = config.boundary_optimization
    rebo.boundary_prompts = PROMPTS.value // 2
    rebo.forget_prompts = PROMPTS.value - rebo.boundary_prompts
    rebo.samples, rebo.max_new_tokens = GROUP.value, NEW_TOKENS.value
    config.rejection_steering.batch = PROMPTS.value * GROUP.value
    config.rejection_steering.microbatches = rebo.microbatches
    earlier = {*TRAINING} - {boundary_optimization.STAGE}  # the step that is timed begins from the model that was named
    config.stages = tuple(stage for stage in config.stages if stage not in earlier)
    return config


def main(argv: Sequence[str]) -> None:
    if len(argv) > 1:
        raise UserError(f"unexpected argument {argv[1]!r}; options are written --name=value")
    config = configured()
    main_command.cache_compilations(main_command.cache_directory() / "xla")
    telemetry.start_logging()
    with tempfile.TemporaryDirectory() as nothing_stays:
        run = Run(config, Path(nothing_stays), Path(nothing_stays), sharding.make_mesh(**config.mesh))
        boundary_optimization.check(run)
        rejection_steering.check(run)
        bench = Bench(run, _subject(run, WANTED.value), PROMPT_LEN.value, EOS.value)
        best = ceilings(run.mesh.size, run.compute_dtype)
        timings = list(measure(bench, WANTED.value, REPEATS.value))
    found = [timing.against(best) for timing in timings]
    kind = jax.devices()[0].device_kind
    what = {
        "devices": run.mesh.size,
        "device": kind,
        "mesh": dict(run.mesh.shape),
        "dtype": str(run.compute_dtype),
        "parameters": sum(x.size for x in jax.tree.leaves(jax.eval_shape(bench.learner.model.init, jax.random.key(0)))),
        "matmul_flops_per_s": best.flops,
        "copy_bytes_per_s": best.bytes,
        "peak_bytes": peak_bytes(),
    }
    if JSON.value:
        print(json.dumps({**what, "phases": found}))
        return
    print(f"{what['parameters'] / 1e6:,.1f} M parameters in {what['dtype']} on {what['devices']} x {kind}")
    print(f"ceilings: {best.flops / 1e12:.3f} TFLOP/s in a matmul, {best.bytes / 1e9:.1f} GB/s in a copy")
    print(table(found))
    print(f"peak memory {what['peak_bytes'] / 1e9:.2f} GB")


def _subject(run: Run, wanted: Sequence[str]) -> Subject:
    """The model of the directory; a tokenizer only for phases that decode answers."""
    path = Path(run.config.model.path)
    model = hf.load_model(path, remat=run.config.model.remat)
    decodes = bool({"reward", "step"} & set(wanted))
    tokenizer = chat.load_tokenizer(path, "plain") if decodes else None
    return Subject(path, model, lora.make(model, **run.config.lora), tokenizer, hf.eos_ids(path))


def _weights(run: Run, learner: Subject) -> Any:
    """The directory's weights, as a stage begins from them, or random ones where it has none."""
    dtype = run.compute_dtype if learner.tuning.keeps_base else jnp.float32
    if any(learner.path.glob("*.safetensors")):
        return hf.load_params(learner.path, learner.model, run.mesh, dtype)
    telemetry.info(f"{learner.path} has no weights; random ones are timed")
    return programs.cast(programs.init_params(learner.model, run.mesh, jax.random.key(0)), dtype)


def console() -> None:
    """Runs `main`; what a user can mend is one line and exit code 2."""
    given = any(argument.startswith("--config=") for argument in sys.argv)
    with one_line():
        command, *arguments = sys.argv
        main(main_command.parse([command, *([] if given else ["--config=configs/grpo.py"]), *arguments]))


if __name__ == "__main__":
    console()
