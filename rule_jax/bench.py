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

The first call compiles (from the cache where it can) and is told apart. "cpu s" is what the later ones took of all of
the process's cores together, which neighbours on the machine change little. FLOPs and bytes are those of the programs'
matrix products (ops/work.py); the ceilings are a large product and a large copy, timed in the same run on one device
and taken times the number of devices. "of matmul" and "of copy" say how much of them a phase reaches, `bound` which of
the two would limit it at best. On a CPU with the GNU C library, a line says so where the kernel clears much memory anew
for every call, and what to try against it.
"""

import json
import resource
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
from absl import flags

from rule_jax import main as main_command
from rule_jax import telemetry
from rule_jax.errors import UserError, nearest, one_line
from rule_jax.planning.machines import ceilings
from rule_jax.planning.phases import PHASES, Bench, Shape, checked, has_weights, measure, shaped, subject
from rule_jax.text.columns import aligned

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

MUCH = 2**27  # bytes in a call


def peak_bytes() -> int:
    """The most memory that was held so far: of the first device, or of this process where the CPU is the device."""
    stats = jax.local_devices()[0].memory_stats()
    if stats and "peak_bytes_in_use" in stats:
        return stats["peak_bytes_in_use"]
    return telemetry.peak_rss_bytes()


def table(found: Sequence[dict[str, Any]]) -> str:
    """A row for each phase."""
    heads = ["phase", "compile s", "median s", "min", "max", "cpu s", "tokens/s"]
    rows = [
        [
            row["phase"],
            f"{row['compile_s']:.1f}",
            *(f"{row[name]:.4f}" for name in ("median_s", "min_s", "max_s", "cpu_s")),
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
    return aligned([[*heads, "TFLOP", "of matmul", "GB", "of copy", "bound"], *rows])


def advice(found: Sequence[dict[str, Any]]) -> str | None:
    """What to try where a program's temporaries come from the kernel, page by page, in every call."""
    most = max(found, key=lambda row: row["page_faults"])
    cleared = most["page_faults"] * resource.getpagesize()
    if jax.default_backend() != "cpu" or sys.platform != "linux" or cleared < MUCH:
        return None
    return (
        f"{most['phase']}: the kernel cleared {cleared / 1e9:.2f} GB for it, page by page. With "
        "GLIBC_TUNABLES=glibc.malloc.hugetlb=1 before the command it takes large pages: compare the step"
    )


def shape() -> Shape:
    """That of the flags."""
    return Shape(PROMPTS.value, GROUP.value, PROMPT_LEN.value, NEW_TOKENS.value)


def configured() -> Any:
    """The config of the flags: those of this command stand above the config file's. `shaped` gives it a shape."""
    config = main_command.CONFIG.value
    if not MODEL.value:
        raise UserError("--model is missing: name an HF directory; its config.json alone will do")
    if not WANTED.value:
        raise UserError(f"--phases is empty; they are {', '.join(PHASES)}")
    for name in WANTED.value:
        if name not in PHASES:
            raise UserError(f"--phases has {name!r}; they are {', '.join(PHASES)}.{nearest(name, PHASES)}")
    config.model.path, config.model.compute_dtype = MODEL.value, DTYPE.value
    for pair in filter(None, MESH.value.split(",")):
        axis, _, size = pair.partition("=")
        if axis not in config.mesh or not size.lstrip("-").isdigit():
            raise UserError(f"--mesh={MESH.value}: it is written like data=1,fsdp=4,tensor=2")
        config.mesh[axis] = int(size)
    return config


def main(argv: Sequence[str]) -> None:
    if len(argv) > 1:
        raise UserError(f"unexpected argument {argv[1]!r}; options are written --name=value")
    config = shaped(configured(), shape())
    main_command.cache_compilations(main_command.cache_directory() / "xla")
    telemetry.start_logging()
    with tempfile.TemporaryDirectory() as nothing_stays:
        run = checked(config, Path(nothing_stays))
        learner = subject(run, decodes=bool({"reward", "step"} & {*WANTED.value}))
        if not has_weights(learner.path):
            telemetry.info(f"{learner.path} has no weights; random ones are timed")
        bench = Bench(run, learner, EOS.value)
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
    if advised := advice(found):
        print(advised)


def with_config(argv: Sequence[str]) -> list[str]:
    """The command line, with the default recipe where it names none."""
    command, *arguments = argv
    given = any(argument.startswith("--config=") for argument in arguments)
    return [command, *([] if given else ["--config=configs/grpo.py"]), *arguments]


def console() -> None:
    """Runs `main`; what a user can mend is one line and exit code 2."""
    with one_line():
        main(main_command.parse(with_config(sys.argv)))


if __name__ == "__main__":
    console()
