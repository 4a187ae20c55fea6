"""How time, work and memory grow: one dimension after the other is doubled, and exponents are fitted.

    python -m rule_jax.growth --model=HF_DIR --prompts=8 --group=8 --prompt_len=24 --new_tokens=24
        [--dimensions=prompts,group,prompt_len,new_tokens,vocab,layers,devices] [--doublings=3]
        [--phases=rollout,update,score] [--repeats=5] [--json] [--out=runs/growth]

Phases, and all other flags, are those of rule_jax.bench. Of the model config.json alone is read: weights are random.
--out gets growth.json and the page growth.html.

  seconds, cpu    median of the calls after the first, by the clock and as all cores together spent it
  flops, bytes    of the programs' matrix products, of all devices together (ops/work.py)
  temporaries     bytes that a program holds at most on one device beside what it is given, by XLA's own figure

Along `devices` nothing is run: the programs of a step are compiled for 1, 2, 4, ... devices of a CPU that need not be
there, with prompts padded as a run pads them, and what one device does is counted in the compiled module, its
collectives too (planning/hlo.py). The axis of the mesh that is -1 takes the devices. held: all bytes on one of them.

A figure that goes like n^e has the exponent e: the slope of the straight line that is fitted through the logarithms,
told with that of the last doubling alone. Neither may be above what the mathematics allows: 1, but 2 along lengths,
since tokens look at each other; along devices -1 for flops, 0 for what each of them must do or hold in any case. What
is above is marked. Exit codes: 0 nothing that is counted grows faster, 1 something does, 2 the input needs mending.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
from absl import flags

from rule_jax import bench, files, hf, sharding, telemetry
from rule_jax import main as main_command
from rule_jax.errors import UserError, nearest, one_line
from rule_jax.planning.growth import BY_CLOCK, DEVICES, LIMITS, Sizes, by_devices, by_sizes
from rule_jax.planning.phases import shaped
from rule_jax.reporting import growth_page
from rule_jax.stages import Run
from rule_jax.text.columns import aligned

PHASES = ("rollout", "update", "score", "sft")  # of bench.PHASES, those that are programs and nothing else

DIMENSIONS = flags.DEFINE_list("dimensions", list(LIMITS), "What is doubled, one after the other.")
DOUBLINGS = flags.DEFINE_integer("doublings", 3, "How often.", lower_bound=1, upper_bound=10)
OUT = flags.DEFINE_string("out", "runs/growth", "Where growth.json and growth.html are written.")


def on_fake_devices(doublings: int) -> list[dict[str, Any]]:
    """The rows of `devices` from this command in a process of its own, whose CPU passes for so many devices: how many a
    process has is settled when it starts."""
    fakes = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={1 << doublings}"
    with tempfile.TemporaryDirectory() as place:
        command = [sys.executable, "-m", "rule_jax.growth", *sys.argv[1:], f"--dimensions={DEVICES}", f"--out={place}"]
        environment = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": fakes}
        done = subprocess.run(command, env=environment, stdout=subprocess.DEVNULL)
        if not (Path(place) / "growth.json").exists():
            sys.exit(done.returncode)  # it has said why
        return files.read_json(Path(place) / "growth.json")["rows"]


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A line for each row: exponents as fitted, and that of the last doubling where that is what grows too fast."""
    figures = list(dict.fromkeys(name for found in rows for name in found["figures"]))
    heads = ["dimension", "phase", "sizes", "seconds", *(f"{name} ^" for name in figures), "at most"]
    return aligned([heads, *(_line(found, figures) for found in rows)])


def _line(found: Mapping[str, Any], figures: Sequence[str]) -> list[str]:
    seconds = found["figures"].get("seconds", ())
    limits = dict.fromkeys(f"{limit:g}" for limit in found["limits"].values())
    return [
        found["dimension"],
        found["phase"],
        " ".join(map(str, found["sizes"])),
        " ".join(f"{value:.3g}" for value in seconds),
        *(_exponent(found, name) for name in figures),
        ", ".join(limits),
    ]


def _exponent(found: Mapping[str, Any], name: str) -> str:
    fitted, last = found["exponents"].get(name, (None, None))
    if fitted is None:
        return ""
    return f"{fitted:.2f}" if name not in found["faster"] else f"{fitted:.2f}, last {last:.2f} !"


def asked() -> tuple[list[str], list[str]]:
    """(dimensions, phases) of the flags."""
    for name in DIMENSIONS.value:
        if name not in LIMITS:
            raise UserError(f"--dimensions has {name!r}; they are {', '.join(LIMITS)}.{nearest(name, LIMITS)}")
    for name in bench.WANTED.value:
        if name not in PHASES:
            raise UserError(f"--phases has {name!r}; what grows is told of {', '.join(PHASES)}.{nearest(name, PHASES)}")
    if not DIMENSIONS.value:
        raise UserError(f"--dimensions is empty; they are {', '.join(LIMITS)}")
    return list(dict.fromkeys(DIMENSIONS.value)), list(dict.fromkeys(bench.WANTED.value))


def main(argv: Sequence[str]) -> None:
    if len(argv) > 1:
        raise UserError(f"unexpected argument {argv[1]!r}; options are written --name=value")
    dimensions, phases = asked()
    config = bench.configured()
    if DEVICES in dimensions and -1 not in config.mesh.values():
        raise UserError(f"--mesh={bench.MESH.value}: along devices one of its axes must be -1, which takes them all")
    shape, model = bench.shape(), hf.load_model(config.model.path).config
    here = Run(config, Path("."), Path("."), sharding.make_mesh(**config.mesh))
    main_command.cache_compilations(main_command.cache_directory() / "xla")
    telemetry.start_logging()

    rows: list[dict[str, Any]] = []
    if DEVICES in dimensions:
        devices, doublings = jax.devices(), DOUBLINGS.value
        enough = devices[0].platform == "cpu" and len(devices) >= 1 << doublings
        rows += by_devices(shaped(config, shape), devices, doublings) if enough else on_fake_devices(doublings)
    sizes = Sizes(*shape, model.vocab_size, model.layers)
    others = [name for name in dimensions if name != DEVICES]
    rows = [*by_sizes(config, sizes, others, DOUBLINGS.value, phases, bench.REPEATS.value), *rows]
    found = {
        "device": jax.devices()[0].device_kind,
        "devices": here.mesh.size,
        "dtype": str(here.compute_dtype),
        "base": sizes._asdict(),
        "rows": rows,
    }
    out = Path(OUT.value)
    files.write_json(out / "growth.json", found)
    files.write_text(out / "growth.html", growth_page.render(found))
    if bench.JSON.value:
        print(json.dumps(found))
    else:
        print(table(rows))
        print(f"growth: open {out / 'growth.html'}")
    sys.exit(1 if any({*found["faster"]} - {*BY_CLOCK} for found in rows) else 0)


def console() -> None:
    """Runs `main`; what a user can mend is one line and exit code 2."""
    flags.FLAGS.set_default("phases", ["rollout", "update", "score"])
    with one_line():
        main(main_command.parse(bench.with_config(sys.argv)))


if __name__ == "__main__":
    console()
