"""Several configs over the same seeds, side by side: what came out of each algorithm, mean and worst.

    python -m launch.compare --configs=configs/grpo.py,configs/ppo.py --seeds=0,1,2,3,4 --workdir=runs/compare

Each config runs under WORKDIR/<its name>/seed<N>. The configs differ in stage 2 alone: what comes before (data,
Rejection Steering and their evaluation) is done once per seed, by the first config, and copied to the others. The table
is printed as Markdown and written to table.md. Runs that are done are not run again. Other flags (--cache_dir) are
passed on; settings belong in the config files.
"""

import importlib
import json
import shutil
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from launch.seeds import ROWS, SEEDS, WORKDIR, Figures
from rule_jax import files

CONFIGS = flags.DEFINE_list("configs", ["configs/grpo.py"], "The config files, comma separated.")
OWN = ("algorithm", "boundary_optimization")  # the sections in which the configs may differ
SHARED = ("data", "rejection_steering", "evaluate/base", "evaluate/rejection_steering")
SHARED_STAGES = ("prepare_data", "rejection_steering")


def config_of(file: str, seed: int) -> dict[str, Any]:
    """The settings of a run, as it writes them to its config.json."""
    config = importlib.import_module(file.removesuffix(".py").replace("/", ".")).get_config()
    config.seed = seed
    return json.loads(json.dumps(config.to_dict(), default=list))


def differing(first: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """The sections outside OWN in which two settings differ."""
    return sorted(name for name in {*first, *other} if name not in OWN and first.get(name) != other.get(name))


def share(source: Path, place: Path, settings: Mapping[str, Any]) -> None:
    """Begins a run with what another one of the same first stage has done. config.json, written last, makes it one."""
    for name in SHARED:
        shutil.copytree(source / name, place / name, dirs_exist_ok=True)
    for stage in SHARED_STAGES:
        files.write_json(place / "done" / f"{stage}.json", files.read_json(source / "done" / f"{stage}.json"))
    files.write_json(place / "config.json", settings)


def table(runs: Mapping[str, Sequence[Figures]]) -> str:
    """Markdown: a row per figure; for each config mean and worst over its runs (report/metrics.json)."""
    lines = ["| figure | " + " | ".join(runs) + " |", "|---" * (1 + len(runs)) + "|"]
    for name, figure, more in ROWS:
        cells = []
        for of_config in runs.values():
            values = [figure(run["stages"]) for run in of_config]
            cells.append(f"{statistics.mean(values):.3f} ({(min if more else max)(values):.3f})")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    seconds = [
        statistics.mean(run["time_s"]["boundary_optimization"] for run in of_config) for of_config in runs.values()
    ]
    lines.append("| seconds of stage 2 | " + " | ".join(f"{value:.0f}" for value in seconds) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    passed_on = flags.FLAGS(sys.argv, known_only=True)[1:]
    workdir, names = Path(WORKDIR.value), [Path(file).stem for file in CONFIGS.value]
    runs: dict[str, list[Figures]] = {name: [] for name in names}
    for seed in map(int, SEEDS.value):
        places = [workdir / name / f"seed{seed}" for name in names]
        settings = [config_of(file, seed) for file in CONFIGS.value]
        for name, file, place, own in zip(names, CONFIGS.value, places, settings):
            if different := differing(settings[0], own):
                sys.exit(
                    f"error: {file} differs from {CONFIGS.value[0]} in {', '.join(different)}, not in stage 2 alone"
                )
            if place != places[0] and not (place / "config.json").exists():
                share(places[0], place, own)
            run = [sys.executable, "-m", "rule_jax.main", f"--config={file}", f"--config.seed={seed}"]
            subprocess.run([*run, f"--workdir={place}", *passed_on], check=True)
            runs[name].append(json.loads((place / "report" / "metrics.json").read_text(encoding="utf-8")))
    text = table(runs)
    (workdir / "table.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
