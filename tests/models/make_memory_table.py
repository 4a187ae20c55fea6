r"""Regenerates the memory table of rule_jax/models/README.md: Llama-3.1-8B at the published RULE shapes.

    pip install -e '.[tpu]' && python -m tests.models.make_memory_table [--only="1x H200, full" ...] [--keep=table.json]

`rule_jax.plan` compiles the update and the rollout for each machine, and nothing is allocated. A GPU is planned for as
TPU chips on the same mesh: shards have the same sizes, and temporaries are the TPU compiler's, a guess for a GPU.
A column takes minutes; --keep is a file that holds those that are done.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import jax

from rule_jax import plan
from rule_jax.planning import shapes
from rule_jax.stages import Run
from tests.planning import published

# (TPU slice, devices of it, (fsdp, tensor)). A v5p-8 is four chips.
ONE, FOUR = ("v5p:2x2x1", 1, (1, 1)), ("v5p:2x2x1", 4, (2, 2))
SIXTEEN, EIGHT = ("v5e:4x4", 16, (4, 4)), ("v5e:2x4", 8, (2, 4))
COLUMNS = {
    "1x H200, full": (ONE, {"model.reference_memory": "host"}),
    "1x H200, LoRA": (ONE, published.LORA),
    "4x A100-80 or v5p-8, full": (FOUR, {}),
    "4x A100-80 or v5p-8, LoRA": (FOUR, published.LORA),
    "v5e-16, full": (SIXTEEN, {}),
    "v5e-16, LoRA": (SIXTEEN, published.LORA),
    "v5e-8, LoRA": (EIGHT, published.LORA),
}
PROGRAMS = ("rollout", "update")
Column = dict[str, dict[str, int]]  # {program: {kind: bytes on a device}}


def column(name: str) -> Column:
    (topology, count, sizes), own = COLUMNS[name]
    with tempfile.TemporaryDirectory() as folder:
        run = published.run_of(Path(folder), "Llama-3.1-8B", topology, sizes, own, count)
        return split(run, {need.program: dict(need.kinds) for need in plan.plan(run, PROGRAMS)})


def split(run: Run, found: Column) -> Column:
    """With what can be counted of the temporaries apart: the sums of the gradients, which are as large as what is
    trained, and the caches of the rollout."""
    its, settings = shapes.Shapes(run), run.config.boundary_optimization
    prompts = its.prompts(settings.forget_prompts + settings.boundary_prompts)
    samples, slots = settings.samples, settings.max_new_tokens
    prefill = lambda params, prompts: its.model.prefill(params, prompts, samples, slots)  # noqa: E731
    _, cache = jax.eval_shape(prefill, its.copy, prompts)
    # Rows are spread over data and fsdp, key heads over tensor: every mesh here divides both.
    counted = {
        "rollout": ("caches", sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(cache)) // run.mesh.size),
        "update": ("gradients", found["update"]["trained"]),
    }
    made = {}
    for program, (kind, size) in counted.items():
        rest = found[program]["temporaries"] - size
        made[program] = {**found[program], kind: size, "temporaries": rest}
    return made


def table(columns: dict[str, Column]) -> str:
    """Markdown, in GB."""
    lines = ["| GB per device | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for program in PROGRAMS:
        kinds = dict.fromkeys(kind for found in columns.values() for kind, size in found[program].items() if size > 5e6)
        for kind in kinds:
            sizes = [found[program].get(kind, 0) / 1e9 for found in columns.values()]
            lines.append(f"| {program}: {kind} | " + " | ".join(f"{size:.2f}" if size else "" for size in sizes) + " |")
        sums = [sum(found[program].values()) / 1e9 for found in columns.values()]
        lines.append(f"| **{program}** | " + " | ".join(f"**{size:.2f}**" for size in sums) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=COLUMNS, help="a column by its name; repeatable")
    parser.add_argument("--keep", type=Path, help="a JSON file for the columns that are done")
    flags = parser.parse_args()
    done = json.loads(flags.keep.read_text()) if flags.keep and flags.keep.exists() else {}
    for name in flags.only or COLUMNS:
        if name not in done:
            done[name] = column(name)
            sys.stderr.write(f"{name}: {done[name]}\n")
        if flags.keep:
            flags.keep.write_text(json.dumps(done))
    print(table({name: done[name] for name in COLUMNS if name in done}))


if __name__ == "__main__":
    main()
