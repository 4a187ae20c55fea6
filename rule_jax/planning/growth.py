"""How what a step takes grows with its sizes and with the devices, and what it may at most.

The phases of the step are timed and counted on the devices at hand (phases.py). For numbers of devices its programs are
compiled and counted, and nothing is run.
"""

import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rule_jax import files, hf, sharding, telemetry
from rule_jax.planning.machines import Chip
from rule_jax.planning.needs import Need, compiled
from rule_jax.planning.phases import Bench, Shape, checked, measure, shaped, subject, temporaries, work_of
from rule_jax.planning.shapes import programs_of
from rule_jax.stages import Run, boundary_optimization

DEVICES = "devices"
LIMITS: Mapping[str, float] = {
    "prompts": 1.0,
    "group": 1.0,
    "prompt_len": 2.0,
    "new_tokens": 2.0,
    "vocab": 1.0,
    "layers": 1.0,
    DEVICES: 0.0,  # but -1 for flops
}
TOLERANCE = 0.05
BY_CLOCK = ("seconds", "cpu")  # neighbours, caches and clocks are in these
UNASKED = Chip(room=None, flops=math.inf, bytes=math.inf, link=None)  # how fast a device is does not matter here


class Sizes(NamedTuple):
    """A step, as `Shape` has it, of a model with such a vocabulary and so many layers."""

    prompts: int
    group: int
    prompt_len: int
    new_tokens: int
    vocab: int
    layers: int

    def along(self, dimension: str, doublings: int) -> list["Sizes"]:
        """These sizes, and the dimension doubled again and again."""
        return [self._replace(**{dimension: getattr(self, dimension) << times}) for times in range(doublings + 1)]


def row(dimension: str, phase: str, sizes: Sequence[int], figures: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """How a phase, or along devices a program, grows: its figures at each of the sizes, their exponents (fitted, of the
    last doubling; None where a figure is 0), what these may be at most, and the figures that grow faster."""
    exponents = {name: (exponent(sizes, found), exponent(sizes[-2:], found[-2:])) for name, found in figures.items()}
    limits = {name: -1.0 if (dimension, name) == (DEVICES, "flops") else LIMITS[dimension] for name in figures}
    return {
        "dimension": dimension,
        "phase": phase,
        "sizes": list(sizes),
        "figures": {name: list(found) for name, found in figures.items()},
        "exponents": exponents,
        "limits": limits,
        "faster": [
            name
            for name, found in exponents.items()
            if any(e is not None and e > limits[name] + TOLERANCE for e in found)
        ],
    }


def exponent(sizes: Sequence[float], found: Sequence[float]) -> float | None:
    """The slope of the least-squares line through (log size, log figure); None where a figure is not above 0."""
    if min(found) <= 0:
        return None
    x, y = np.log(sizes), np.log(found)
    x -= x.mean()
    return float(x @ y / (x @ x))


def scaled(source: Path, place: Path, sizes: Sizes) -> Path:
    """`place`, as the directory of a model without weights: that of `source` with another vocabulary and depth."""
    fields = hf.read_config(source)
    fields |= {"vocab_size": sizes.vocab, "num_hidden_layers": sizes.layers}
    if kinds := fields.get("layer_types"):
        fields["layer_types"] = [kinds[layer % len(kinds)] for layer in range(sizes.layers)]
    files.write_json(place / "config.json", fields)
    files.write_json(place / "generation_config.json", {"eos_token_id": hf.eos_ids(source)})
    return place


def prepared(config: Any, sizes: Sizes, place: Path) -> Run:
    """The run whose steps have these sizes. Raises UserError where it cannot be."""
    config = shaped(config, Shape(*sizes[:4]))
    config.model.path = str(scaled(Path(config.model.path), place / "model", sizes))
    run = checked(config, place)
    subject(run, decodes=False)
    return run


def measured(run: Run, phases: Sequence[str], repeats: int) -> dict[str, dict[str, float]]:
    """phase -> figure -> value."""
    found = {}
    for timing in measure(Bench(run, subject(run, decodes=False)), phases, repeats):
        parts = timing.phase.parts()
        work = work_of(parts)
        found[timing.phase.name] = {
            "seconds": timing.median,
            "cpu": timing.cpu_median,
            "flops": work.flops,
            "bytes": work.bytes,
            "temporaries": temporaries(parts),
        }
    return found


def by_sizes(
    config: Any, base: Sizes, dimensions: Sequence[str], doublings: int, phases: Sequence[str], repeats: int
) -> Iterator[dict[str, Any]]:
    """Rows of every dimension but the devices. All runs are checked before the first is timed."""
    series = {name: base.along(name, doublings) for name in dimensions}
    with tempfile.TemporaryDirectory() as nothing_stays:
        wanted = dict.fromkeys(sizes for along in series.values() for sizes in along)
        runs = {sizes: prepared(config, sizes, Path(nothing_stays) / str(n)) for n, sizes in enumerate(wanted)}
        found = {}
        for number, (sizes, run) in enumerate(runs.items(), start=1):
            telemetry.info(f"{number} of {len(runs)}: {sizes}")
            found[sizes] = measured(run, phases, repeats)
    for name, along in series.items():
        for phase in phases:
            of_phase = [found[sizes][phase] for sizes in along]
            figures = {figure: [each[figure] for each in of_phase] for figure in of_phase[0]}
            yield row(name, phase, [getattr(sizes, name) for sizes in along], figures)


def by_devices(config: Any, devices: Sequence[Any], doublings: int) -> Iterator[dict[str, Any]]:
    """Rows of the programs of a step on the first 1, 2, 4, ... of the devices, "collectives" of each with them: for
    every size kind -> (how often, bytes)."""
    counts = [1 << times for times in range(doublings + 1)]
    runs = []
    for count in counts:
        runs.append(Run(config, Path("."), Path("."), sharding.make_mesh(**config.mesh, devices=devices[:count])))
        boundary_optimization.check(runs[-1])
    needs: list[list[Need]] = []
    for run in runs:
        telemetry.info(f"compiling for {run.mesh.size} of {len(devices)} devices")
        of_step = [program for program in programs_of(run) if program.stage == boundary_optimization.STAGE]
        needs.append([compiled(program, devices[0], UNASKED) for program in of_step])
    for of_program in zip(*needs):
        costs = [need.cost for need in of_program if need.cost]
        figures = {
            "flops": [cost.flops for cost in costs],
            "bytes": [cost.bytes for cost in costs],
            "held": [need.total for need in of_program],
        }
        collectives = [dict(cost.collectives) for cost in costs]
        yield {**row(DEVICES, of_program[0].program, counts, figures), "collectives": collectives}
