r"""Regenerates the memory table of rule_jax/models/README.md: Llama-3.1-8B at the published RULE shapes.

    pip install 'libtpu==0.0.42.*'
    JAX_PLATFORMS=cpu TPU_SKIP_MDS_QUERY=1 ALLOW_MULTIPLE_LIBTPU_LOAD=1 \
        python tests/models/make_memory_table.py [--only=v5e-16] [--bytes | --options]

Nothing is allocated and no accelerator is used. Bytes of parameters, moments, gradients, reference and rollout copy
and of the caches of the rollout are those of their shards (`jax.eval_shape`). Temporaries of the update are XLA's own
figure (`memory_analysis`) for the compiled program: for TPUs of the real compiler, for GPUs of the CPU compiler, which
is a guess (it keeps bfloat16 in four bytes in many places). Temporaries of the rollout beside its caches are left out.
"""

import argparse
import dataclasses
import itertools
import math
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import topologies
from jax.sharding import AxisType, Mesh

from configs import grpo
from rule_jax import plugin, programs, sharding
from rule_jax.models import decoder, lora
from rule_jax.models.families import llama
from rule_jax.types import Prompts, Rollout

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
PROMPTS, SAMPLES, PROMPT, RESPONSE = 32, 8, 512, 1024
GB = 1e9

jax.config.update("jax_num_cpu_devices", 16)  # in the place of GPUs
ADAM = {"b1": 0.9, "b2": 0.999, "eps": 1e-8, "weight_decay": 1e-2, "max_grad_norm": 1.0}


@dataclasses.dataclass(frozen=True)
class Machine:
    """devices: how many. gigabytes: of each. mesh: (data, fsdp, tensor). topology: of a TPU, None for a GPU."""

    devices: int
    gigabytes: float
    mesh: tuple[int, int, int]
    topology: str | None = None


MACHINES = {
    "1x H200": Machine(1, 141, (1, 1, 1)),
    "4x A100-80": Machine(4, 80, (1, 2, 2)),
    "v5e-16": Machine(16, 16, (1, 4, 4), "v5e:4x4"),
    "v5p-8": Machine(4, 95, (1, 2, 2), "v5p:2x2x1"),
}


@dataclasses.dataclass(frozen=True)
class Options:
    """What of the config changes memory. microbatches: 0 is as many as leave one prompt to each share of the mesh."""

    rank: int = 0
    moments_dtype: str = "bfloat16"
    remat: bool = True
    logit_chunk: int = 256
    microbatches: int = 0


OPTIONS = {
    "as in the table": Options(),
    "float32 moments": Options(moments_dtype="float32"),
    "no remat": Options(remat=False),
    "all logits at once": Options(logit_chunk=SAMPLES * RESPONSE),
    "2 prompts a microbatch": Options(microbatches=PROMPTS // 8),
}


def mesh_of(machine: Machine, compiled: bool) -> Mesh:
    """The machine's devices, or as many fake ones in the place of GPUs and where nothing is compiled for them."""
    if machine.topology and compiled:
        devices = topologies.get_topology_desc(platform="tpu", topology_name=machine.topology).devices
    else:
        devices = jax.devices("cpu")[: machine.devices]
    return Mesh(np.array(devices).reshape(machine.mesh), sharding.AXES, axis_types=(AxisType.Auto,) * 3)


def shard_bytes(tree) -> int:
    """Bytes on one device."""
    leaves = [x for x in jax.tree.leaves(tree) if not jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key)]
    return sum(math.prod(x.sharding.shard_shape(x.shape)) * x.dtype.itemsize for x in leaves)


def abstract(of, mesh, dtype, layout="train"):
    """Shapes of parameters, with their shardings."""
    shapes = jax.eval_shape(of.init, jax.random.key(0))
    where = programs.param_shardings(of, mesh, layout)
    return jax.tree.map(lambda s, w: jax.ShapeDtypeStruct(s.shape, dtype, sharding=w), shapes, where)


def rows(mesh, *shape, dtype=jnp.int32):
    return jax.ShapeDtypeStruct(shape, dtype, sharding=sharding.rows(mesh))


def figures(machine: Machine, options: Options, compiled: bool = True) -> dict[str, float]:
    """Bytes of each kind on one device. compiled: the update too; without it, its temporaries are left out."""
    mesh = mesh_of(machine, compiled)
    model = decoder.make(llama.config(LLAMA_8B), remat=options.remat)
    tuning = lora.make(model, rank=options.rank, alpha=32.0, targets=lora.PROJECTIONS)
    adam = programs.optimizer(**ADAM, moments_dtype=options.moments_dtype)
    settings = grpo.get_config().algorithm.to_dict()
    algorithm = plugin.load("algorithms", settings.pop("name")).make(**settings)
    shared = {"temperature": 1.0, "chunk": options.logit_chunk, "dtype": jnp.bfloat16}
    microbatches = options.microbatches or PROMPTS // (machine.mesh[0] * machine.mesh[1])
    loss = programs.policy_loss(model, algorithm, **shared)
    targets = programs.make_targets(model, tuning, None, mesh, algorithm, **shared, microbatches=microbatches)
    update = programs.make_update(tuning, mesh, adam, programs.tuned(loss, tuning), microbatches=microbatches)

    state = programs.abstract_state(tuning, mesh, adam)
    base = abstract(model, mesh, jnp.bfloat16)
    copy = abstract(model, mesh, jnp.bfloat16, "decode")
    prompts = Prompts(rows(mesh, PROMPTS, PROMPT), rows(mesh, PROMPTS))
    answers = (PROMPTS, SAMPLES, RESPONSE)
    temporaries = 0
    if compiled:
        rollout = Rollout(
            prompts,
            rows(mesh, *answers),
            rows(mesh, *answers[:2]),
            rows(mesh, *answers[:2], dtype=bool),
            rows(mesh, *answers, dtype=jnp.float32),
        )
        coefficients = {name: jnp.float32(0) for name in algorithm.coefficients}
        fresh = rollout, rows(mesh, *answers[:2], dtype=jnp.float32)
        batch, _ = jax.eval_shape(targets, state.params, base, None, fresh, None, coefficients)
        batch = jax.tree.map(lambda x: rows(mesh, *x.shape, dtype=x.dtype), batch)
        rate = jax.ShapeDtypeStruct((), jnp.float32, sharding=sharding.replicated(mesh))
        temporaries = (
            update.lower(state, base, batch, rate, coefficients).compile().memory_analysis().temp_size_in_bytes
        )
    _, cache = jax.eval_shape(lambda params, prompts: model.prefill(params, prompts, SAMPLES, RESPONSE), copy, prompts)
    # Rows are spread over data and fsdp, key heads over tensor (8 of them: every mesh here divides that).
    caches = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(cache)) // mesh.size
    trained, moments = shard_bytes(state.params), shard_bytes(state.opt_state)
    whole = shard_bytes(base)
    held = {
        "parameters": whole if options.rank else trained,
        "adapter": trained if options.rank else 0,
        "moments": moments,
        "reference": 0 if options.rank else whole,
    }
    in_update = {"gradients": trained}
    if compiled:  # gradients are summed up in the program's temporaries
        in_update["temporaries of the update"] = temporaries - trained
    in_rollout = {"rollout copy": shard_bytes(copy), "caches of the rollout": caches}
    fixed = sum(held.values())
    return {
        **held,
        **in_update,
        **in_rollout,
        "sum in the update": fixed + sum(in_update.values()),
        "sum in the rollout": fixed + sum(in_rollout.values()),
    }


def describe(options: Options) -> str:
    return f"LoRA r={options.rank}" if options.rank else "full"


def table(columns: dict[str, dict[str, float]]) -> str:
    """Markdown: a row for each kind, a column for each machine and method, in GB."""
    names = list(columns)
    lines = ["| GB per device | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for kind in next(iter(columns.values())):
        cells = [f"{column[kind] / GB:.2f}" for column in columns.values()]
        lines.append(f"| {kind} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="a machine's name, for one column")
    parser.add_argument("--rank", type=int, help="0 or 16, for one method")
    parser.add_argument("--bytes", action="store_true", help="compile nothing, and leave temporaries out")
    parser.add_argument("--options", action="store_true", help="the options, one by one, on v5e-16")
    flags = parser.parse_args()
    columns = {}
    if flags.options:
        wanted = [("v5e-16", name, options) for name, options in OPTIONS.items()]
    else:
        ranks = (0, 16) if flags.rank is None else (flags.rank,)
        wanted = [
            (machine, f"{machine}, {describe(Options(rank))}", Options(rank))
            for machine, rank in itertools.product(MACHINES, ranks)
            if flags.only in ("", machine)
        ]
    for machine, name, options in wanted:
        started = time.monotonic()
        try:
            columns[name] = figures(MACHINES[machine], options, compiled=not flags.bytes)
        except jax.errors.JaxRuntimeError as error:  # the compiler's own verdict, where a chip's memory is known to it
            print(f"{name}: {str(error).splitlines()[0]}", file=sys.stderr)
            continue
        peaks = [f"{kind} {value / GB:.2f} GB" for kind, value in columns[name].items() if kind.startswith("sum")]
        print(f"{name}: compiled in {time.monotonic() - started:.0f} s; {', '.join(peaks)}", file=sys.stderr)
    print(table(columns))


if __name__ == "__main__":
    main()
