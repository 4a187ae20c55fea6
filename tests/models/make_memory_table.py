r"""Regenerates the memory table of rule_jax/models/README.md: Llama-3.1-8B at the published RULE shapes.

    pip install -e '.[tpu]' && python tests/models/make_memory_table.py [--only="1x H200, full" ...] [--keep=table.json]

`rule_jax.plan` compiles the update and the rollout for each machine, and nothing is allocated. A GPU is planned for as
TPU chips on the same mesh: shards have the same sizes, and temporaries are the TPU compiler's, a guess for a GPU.
A column takes minutes; --keep is a file that holds those that are done. With --counted nothing is compiled: what can be
counted of the temporaries, the float32 sums of the gradients and the caches of the rollout, stands in their place.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import jax

from configs import rwku_llama3_8b_grpo
from rule_jax import plan, sharding
from rule_jax.planning import machines, shapes
from rule_jax.stages import Run

LLAMA_8B = {
    "model_type": "llama",
    "vocab_size": 128256,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "rms_norm_eps": 1e-5,
    "rope_theta": 500000.0,
    "rope_scaling": {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    },
    "max_position_embeddings": 131072,
}
# (TPU slice, devices of it, fsdp, tensor). A v5p-8 is four chips.
ONE, FOUR = ("v5p:2x2x1", 1, 1, 1), ("v5p:2x2x1", 4, 2, 2)
SIXTEEN, EIGHT = ("v5e:4x4", 16, 4, 4), ("v5e:2x4", 8, 2, 4)
LORA = {"lora.rank": 16}
COLUMNS = {
    "1x H200, full": (ONE, {"model.reference_memory": "host"}),
    "1x H200, LoRA": (ONE, LORA),
    "4x A100-80 or v5p-8, full": (FOUR, {}),
    "4x A100-80 or v5p-8, LoRA": (FOUR, LORA),
    "v5e-16, full": (SIXTEEN, {}),
    "v5e-16, LoRA": (SIXTEEN, LORA),
    "v5e-8, LoRA": (EIGHT, LORA),
}
PROMPTS, PROGRAMS = 32, ("rollout", "update")
ALL = {"model.moments_dtype": "bfloat16", "model.logit_chunk": 256, "model.remat": True}


def run_of(name: str, path: str) -> Run:
    """The run of a column, with one prompt a microbatch on each share of the mesh."""
    (topology, count, fsdp, tensor), own = COLUMNS[name]
    config: Any = rwku_llama3_8b_grpo.get_config()
    parts = {"boundary_optimization.microbatches": PROMPTS // fsdp, "model.path": path}
    config.update_from_flattened_dict({**ALL, **parts, **own})
    mesh = sharding.make_mesh(data=1, fsdp=fsdp, tensor=tensor, devices=machines.devices(topology)[:count])
    return Run(config, Path("."), Path("."), mesh)


def compiled(run: Run) -> dict[str, dict[str, int]]:
    """{program: {kind: bytes on a device}}."""
    return {need.program: dict(need.kinds) for need in plan.plan(run, PROGRAMS)}


def counted(run: Run) -> dict[str, dict[str, int]]:
    """The same without temporaries, but with those of them that can be counted."""
    found = {program.name: shapes.held(program) for program in shapes.programs_of(run) if program.name in PROGRAMS}
    its, settings = shapes.Shapes(run), run.config.boundary_optimization
    prompts = its.prompts(settings.forget_prompts + settings.boundary_prompts)
    prefill = lambda params, prompts: its.model.prefill(params, prompts, settings.samples, settings.max_new_tokens)  # noqa: E731
    caches = jax.tree.leaves(jax.eval_shape(prefill, its.copy, prompts)[1])
    # Rows are spread over data and fsdp, key heads over tensor: every mesh here divides both.
    found["rollout"]["caches"] = sum(x.size * x.dtype.itemsize for x in caches) // run.mesh.size
    found["update"]["gradients"] = found["update"]["trained"]
    return found


def table(columns: dict[str, dict[str, dict[str, int]]]) -> str:
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
    parser.add_argument("--counted", action="store_true", help="compile nothing")
    flags = parser.parse_args()
    done = json.loads(flags.keep.read_text()) if flags.keep and flags.keep.exists() else {}
    with tempfile.TemporaryDirectory() as path:
        (Path(path) / "config.json").write_text(json.dumps(LLAMA_8B))
        for name in flags.only or COLUMNS:
            if name not in done:
                done[name] = (counted if flags.counted else compiled)(run_of(name, path))
                sys.stderr.write(f"{name}: {done[name]}\n")
            if flags.keep:
                flags.keep.write_text(json.dumps(done))
    print(table({name: done[name] for name in COLUMNS if name in done}))


if __name__ == "__main__":
    main()
