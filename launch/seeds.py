"""One config over several seeds, and the table of what came out: mean and worst of each figure.

    python -m launch.seeds --config=configs/grpo.py --seeds=0,1,2,3,4 --workdir=runs/seeds [--config.… as for main]

Each seed is a run of its own under the workdir; seeds that are done are not run again. The table is printed as
Markdown and written to table.md.
"""

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags

CONFIG = flags.DEFINE_string("config", "configs/grpo.py", "The config file.")
SEEDS = flags.DEFINE_list("seeds", ["0", "1", "2", "3", "4"], "The seeds, comma separated.")
WORKDIR = flags.DEFINE_string("workdir", "runs/seeds", "Each seed runs under here.")

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


def table(runs: Sequence[Figures]) -> str:
    """Markdown: a row per figure, mean, worst and each run. runs: report/metrics.json of each."""
    lines = ["| figure | mean | worst | " + " | ".join(f"seed {run['seed']}" for run in runs) + " |"]
    lines.append("|---" * (3 + len(runs)) + "|")
    for name, figure, more in ROWS:
        values = [figure(run["stages"]) for run in runs]
        cells = [statistics.mean(values), (min if more else max)(values), *values]
        lines.append(f"| {name} | " + " | ".join(f"{value:.3f}" for value in cells) + " |")
    seconds = [sum(run["time_s"].values()) for run in runs]
    memory = [run["peak_rss_bytes"] / 1e9 for run in runs]
    for name, values in (("seconds, all stages", seconds), ("peak memory, GB", memory)):
        cells = [statistics.mean(values), max(values), *values]
        lines.append(f"| {name} | " + " | ".join(f"{value:.1f}" for value in cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    passed_on = flags.FLAGS(sys.argv, known_only=True)[1:]
    workdir = Path(WORKDIR.value)
    runs = []
    for seed in SEEDS.value:
        place = workdir / f"seed{seed}"
        command = [sys.executable, "-m", "rule_jax.main", f"--config={CONFIG.value}", f"--config.seed={seed}"]
        subprocess.run([*command, f"--workdir={place}", *passed_on], check=True)
        runs.append(json.loads((place / "report" / "metrics.json").read_text(encoding="utf-8")))
    text = table(runs)
    (workdir / "table.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
