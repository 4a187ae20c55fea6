"""One config or several over the same seeds, and the table of what came out: mean and worst of each figure.

    python -m launch.compare --configs=configs/grpo.py --seeds=0,1,2,3,4 --workdir=runs/compare
    python -m launch.compare --configs=configs/grpo.py,configs/ppo.py --seeds=0,1,2,3,4 --workdir=runs/compare

Each config runs under WORKDIR/<its name>/seed<N>. The configs differ in stage 2 alone: what comes before (data,
Rejection Steering and their evaluation) is done once per seed, by the first config, and copied to the others. The table
is printed as Markdown and written to table.md. Runs that are done are not run again. Other flags (--cache_dir) are
passed on; settings belong in the config files.
"""

import importlib
import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from launch import sharing
from rule_jax import files

CONFIGS = flags.DEFINE_list("configs", ["configs/grpo.py"], "The config files, comma separated.")
SEEDS = flags.DEFINE_list("seeds", ["0", "1", "2", "3", "4"], "The seeds, comma separated.")
WORKDIR = flags.DEFINE_string("workdir", "runs/compare", "Each run has its place under here.")

OWN = ("algorithm", "boundary_optimization")  # the sections in which the configs may differ

BASE, STEERED, FINAL = "base", "rejection_steering", "boundary_optimization"
Figures = Mapping[str, Any]


def _of(model: str, task: str, metric: str) -> Callable[[Figures], float]:
    return lambda stages: stages[model][task][metric]


def _kept(task: str) -> Callable[[Figures], float]:
    return lambda stages: stages[FINAL][task]["accuracy"] / stages[BASE][task]["accuracy"]


# (row, figure of one run, True where more is better)
ROWS: tuple[tuple[str, Callable[[Figures], float], bool], ...] = (
    ("base: forget questions answered", _of(BASE, "forget", "leak_rate"), True),
    ("base: boundary accuracy", _of(BASE, "boundary", "accuracy"), True),
    ("base: neighbour accuracy", _of(BASE, "neighbor", "accuracy"), True),
    ("base: general accuracy", _of(BASE, "general", "accuracy"), True),
    ("after RS: forget refusal", _of(STEERED, "forget", "refusal_rate"), True),
    ("after RS: neighbours over-refused", _of(STEERED, "neighbor", "over_refusal_rate"), False),
    ("forget refusal", _of(FINAL, "forget", "refusal_rate"), True),
    ("forget leak", _of(FINAL, "forget", "leak_rate"), False),
    ("forget leak, fill in the blank", _of(FINAL, "forget_cloze", "leak_rate"), False),
    ("forget leak, sampled at T=1", _of(FINAL, "forget_sampled", "leak_rate"), False),
    ("forget leak, raw completion", _of(FINAL, "forget_raw", "leak_rate"), False),
    ("refusals that name the target", _of(FINAL, "forget", "names_target_rate"), True),
    ("boundary accuracy, of base", _kept("boundary"), True),
    ("neighbour accuracy, of base", _kept("neighbor"), True),
    ("general accuracy, of base", _kept("general"), True),
    ("unknown people refused", _of(FINAL, "unknown", "refusal_rate"), True),
)


def config_of(file: str, seed: int) -> dict[str, Any]:
    """The settings of a run, as it writes them to its config.json."""
    config = importlib.import_module(file.removesuffix(".py").replace("/", ".")).get_config()
    config.seed = seed
    return files.plain(config)


def differing(first: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """The sections outside OWN in which two settings differ."""
    return sorted(name for name in {*first, *other} if name not in OWN and first.get(name) != other.get(name))


def table(runs: Mapping[str, Sequence[Figures]]) -> str:
    """Markdown: a row per figure. One config: mean, worst and every run; several: mean (worst) of each.

    runs: report/metrics.json of each run, by the config's name.
    """
    of = [*runs.values()]
    columns = ["mean", "worst", *(f"seed {run['seed']}" for run in of[0])] if len(of) == 1 else [*runs]
    found = ["| figure | " + " | ".join(columns) + " |", "|---" * (1 + len(columns)) + "|"]
    for name, figure, more in ROWS:
        found.append(_line(name, [[figure(run["stages"]) for run in of_config] for of_config in of], more, 3))
    seconds = [[sum(run["time_s"].values()) for run in of_config] for of_config in of]
    stage2 = [[run["time_s"][FINAL] for run in of_config] for of_config in of]
    memory = [[run["peak_rss_bytes"] / 1e9 for run in of_config] for of_config in of]
    if len(of) == 1:
        found.append(_line("seconds, all stages", seconds, False, 0))
    found.append(_line("seconds of stage 2", stage2, False, 0))
    found.append(_line("peak memory, GB", memory, False, 1))
    return "\n".join(found) + "\n"


def _line(name: str, by_config: Sequence[Sequence[float]], more: bool, digits: int) -> str:
    """A row of the table. more: whether more is better, so that the least is the worst."""
    worst = min if more else max
    if len(by_config) == 1:
        values = by_config[0]
        cells = [f"{value:.{digits}f}" for value in (statistics.mean(values), worst(values), *values)]
    else:
        cells = [f"{statistics.mean(values):.{digits}f} ({worst(values):.{digits}f})" for values in by_config]
    return f"| {name} | " + " | ".join(cells) + " |"


def main() -> None:
    passed_on = flags.FLAGS(sys.argv, known_only=True)[1:]
    workdir, names = Path(WORKDIR.value), [Path(file).stem for file in CONFIGS.value]
    first = config_of(CONFIGS.value[0], 0)
    for file in CONFIGS.value:
        if different := differing(first, config_of(file, 0)):
            sys.exit(f"error: {file} differs from {CONFIGS.value[0]} in {', '.join(different)}, not in stage 2 alone")
    if len(names) > 1 and any(flag.startswith("--config.") for flag in passed_on):
        sys.exit("error: several configs are compared as their files stand; put the --config.… settings into a file")
    runs: dict[str, list[Figures]] = {name: [] for name in names}
    for seed in map(int, SEEDS.value):
        places = [workdir / name / f"seed{seed}" for name in names]
        settings = [config_of(file, seed) for file in CONFIGS.value]
        for name, file, place, own in zip(names, CONFIGS.value, places, settings):
            if place != places[0]:
                sharing.give(places[0], place, own)
            run = [sys.executable, "-m", "rule_jax.main", f"--config={file}", f"--config.seed={seed}"]
            subprocess.run([*run, f"--workdir={place}", *passed_on], check=True)
            runs[name].append(json.loads((place / "report" / "metrics.json").read_text(encoding="utf-8")))
    text = table(runs)
    (workdir / "table.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
