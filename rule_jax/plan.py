"""Compiles the programs of a run for a machine that need not be there, and says whether it fits and how fast it can be.

    python -m rule_jax.plan --config=configs/rwku_llama3_8b_grpo.py --config.model.path=DIR --topology=v5e:4x4 [--json]

DIR needs its config.json and nothing else: weights are shapes, prompts and answers are as long as the config allows,
and nothing is allocated. --topology names a TPU slice (v4, v5e, v5p, v6e), for which the real compiler runs on any
machine (`pip install 'rule_jax[tpu]'`); without it the devices of this machine are planned for.
--programs=rollout,update picks some. --search=3 tries mesh shapes and the options that save memory until three shapes
fit, and ranks them. Exit codes: 0 everything fits, 1 something does not, 2 the input needs mending.

What a program needs on one device is counted by kind: what it is given and what lies beside it, by their shards, and
all else (gradients, activations, caches, results) as temporaries, by XLA's own figure for the compiled program. Its
work is counted in the compiled module (planning/hlo.py): products, bytes to and from the device's memory, and what its
collectives send. The time of a step is the largest of what each of these takes at the chip's best: no run is faster.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from rule_jax import main as main_command
from rule_jax import plugin, sharding
from rule_jax.errors import UserError, nearest, one_line
from rule_jax.planning import machines
from rule_jax.planning.needs import Need, Whole, compiled, whole
from rule_jax.planning.search import Found, search
from rule_jax.planning.shapes import programs_of
from rule_jax.stages import TRAINING, Run
from rule_jax.text.columns import aligned

TOPOLOGY = flags.DEFINE_string("topology", "", "A TPU slice, like v5e:4x4; default: the devices of this machine.")
PROGRAMS = flags.DEFINE_list("programs", [], "Names of programs to plan; default: all of them.")
SEARCH = flags.DEFINE_integer("search", 0, "So many mesh shapes that fit are sought and ranked.", lower_bound=0)
JSON = flags.DEFINE_bool("json", False, "Print JSON instead of tables.")

UPDATE = (
    "microbatches (more of them), model.logit_chunk, model.attention (cudnn or splash), model.remat, "
    "model.moments_dtype, mesh.fsdp, lora.rank"
)
SAMPLING = "boundary_optimization.rollout_parts, mesh.tensor, model.moments_dtype, lora.rank, samples, max_new_tokens"
KNOBS = {
    "rejection": UPDATE,
    "copy": SAMPLING,
    "rollout": SAMPLING,
    "targets": UPDATE,
    "update": f"{UPDATE}, model.reference_memory",
    "critic": UPDATE,
    "baseline": UPDATE,
    "answers": "evaluate.batch, mesh.tensor",
    "scores": "evaluate.score_tokens, model.logit_chunk, mesh.tensor",
}


def plan(run: Run, wanted: Sequence[str] = ()) -> Iterator[Need]:
    """Compiles the run's programs, or those named, one after the other. Raises UserError for an unknown name."""
    made = list(programs_of(run))
    names = [program.name for program in made]
    for name in wanted:
        if name not in names:
            raise UserError(f"--programs has {name!r}; this run has {', '.join(names)}.{nearest(name, names)}")
    device = run.mesh.devices.flat[0]
    chip = machines.chip(device, run.compute_dtype)
    for program in made:
        if not wanted or program.name in wanted:
            yield compiled(program, device, chip)


def memory_table(needs: Sequence[Need]) -> str:
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
    return aligned([heads, *rows])


def work_table(needs: Sequence[Need]) -> str:
    """A row for each program that was compiled: what one device does in a run of it, and the seconds at best."""
    found = [(need, need.cost) for need in needs if need.cost]
    kinds = list(dict.fromkeys(kind for _, cost in found for kind, (_, size) in cost.collectives.items() if size > 5e5))
    limits = list(dict.fromkeys(name for need, _ in found for name in need.least))
    heads = ["program", "TFLOP", "memory GB", *(f"{kind} GB" for kind in kinds)]
    heads += [*(f"{name} s" for name in limits), "bound", "runs"]
    rows = [
        [
            need.program,
            f"{cost.flops / 1e12:.3f}",
            f"{cost.bytes / 1e9:.2f}",
            *(f"{cost.collectives[kind][1] / 1e9:.3f}" if kind in cost.collectives else "" for kind in kinds),
            *(f"{need.least[name]:.3f}" for name in limits),
            need.bound,
            str(need.runs or "?"),
        ]
        for need, cost in found
    ]
    return aligned([heads, *rows])


def found_table(found: Sequence[Found]) -> str:
    """A row for each choice that was tried: those that fit first, the fastest of them on top."""
    heads = [
        "",
        "data",
        "fsdp",
        "tensor",
        *(f"{need.program} GB" for need in found[0].needs),
        "s",
        "bounds",
        "settings",
    ]
    rows = [
        [
            "fits" if one.fits else "too large",
            *(str(one.choice.mesh[axis]) for axis in sharding.AXES),
            *(f"{need.total / 1e9:.2f}" for need in one.needs),
            f"{one.step:.2f}",
            ", ".join(need.bound or "?" for need in one.needs),
            " ".join(f"--config.{name}={value}" for name, value in one.choice.settings.items()),
        ]
        for one in ranked(found)
    ]
    return aligned([heads, *rows])


def ranked(found: Sequence[Found]) -> list[Found]:
    """Those that fit, the fastest first, then the others."""
    return sorted(found, key=lambda one: (not one.fits, one.step))


def main(argv: Sequence[str]) -> None:
    if len(argv) > 1:
        raise UserError(f"unexpected argument {argv[1]!r}; options are written --name=value")
    config = main_command.CONFIG.value
    devices = machines.devices(TOPOLOGY.value)
    fits = (_search if SEARCH.value else _plan)(config, devices)
    sys.exit(0 if fits else 1)


def _plan(config: Any, devices: Sequence[Any]) -> bool:
    run = Run(config, Path("."), Path("."), sharding.make_mesh(**config.mesh, devices=devices))
    for stage in TRAINING:
        if stage in config.stages:
            plugin.load("stages", stage).check(run)
    needs = list(plan(run, PROGRAMS.value))
    short = [need for need in needs if not need.fits]
    rebo = config.boundary_optimization
    sampled = (rebo.forget_prompts + rebo.boundary_prompts) * rebo.samples * rebo.max_new_tokens
    total = whole(needs, run.mesh.size, sampled)
    if JSON.value:
        about = {"device": devices[0].device_kind, "devices": run.mesh.size, "mesh": dict(run.mesh.shape)}
        print(json.dumps({**about, "programs": [need.facts() for need in needs], "training": vars(total)}))
        return not short
    print(f"GB on each of {run.mesh.size} x {devices[0].device_kind}, mesh {dict(run.mesh.shape)}")
    print(memory_table(needs))
    print("\nOne run of each program, on each device; seconds at the chip's best")
    print(work_table(needs))
    print("\n" + _summary(needs, total))
    for need in short:
        over = (need.total - (need.room or 0)) / 1e9
        print(f"{need.program} does not fit by {over:.2f} GB; turn {KNOBS[need.program]}")
    return not short


def _summary(needs: Sequence[Need], total: Whole) -> str:
    if any(need.cost is None for need in needs):
        return "no estimate of the whole run: the compiler refused a program"
    names = ", ".join(need.program for need in needs if need.runs)
    return (
        f"training ({names}) takes {total.seconds / 3600:.2f} h at least, {total.chip_hours:.1f} chip-hours, and "
        f"learns from {total.tokens_per_s:,.0f} sampled tokens/s at most, if all answers are as long as allowed; "
        "the evaluation is not counted"
    )


def _search(config: Any, devices: Sequence[Any]) -> bool:
    chip = machines.chip(devices[0], "bfloat16" if devices[0].platform == "tpu" else "float32")
    found = []
    for one in search(config, devices, chip, SEARCH.value):
        found.append(one)
        print(f"{'fits' if one.fits else 'too large'}: {dict(one.choice.mesh)} {one.choice.settings}", file=sys.stderr)
    if JSON.value:
        print(json.dumps([one.facts() for one in ranked(found)]))
    else:
        print(f"GB on each of {len(devices)} x {devices[0].device_kind}; seconds of a rollout and an update at best")
        print(found_table(found))
    return any(one.fits for one in found)


def console() -> None:
    """Runs `main`; what a user can mend is one line and exit code 2."""
    with one_line():
        main(main_command.parse(sys.argv))


if __name__ == "__main__":
    console()
