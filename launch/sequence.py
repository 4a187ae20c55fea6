"""Requests to forget that come one after the other: each run begins from the model that the one before it left.

    python -m launch.sequence --config=configs/grpo.py --requests=1,2,3
    python -m launch.sequence --config=configs/rwku_llama3_8b_grpo.py --config.model.path=/models/Llama-3-8B-Instruct \\
        --requests=RWKU/Target/1_Stephen_King,RWKU/Target/2_Confucius

A request is a config.data.path: a folder, or the number of one of the default world's. Its run asks again about all
that was forgotten before it (config.data.earlier), and leaves its export to the next one. Prints a table, also as
WORKDIR/table.md: what each model leaks and keeps. The same command goes on after an interruption; --retry tries again
what failed. Other --config.KEY=VALUE are for every run, other flags are passed on to it. Exit codes: 0 done, 1 a run
failed, 2 the input needs mending.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from launch import local, points
from launch.points import Override, Point
from rule_jax import data, files
from rule_jax.errors import UserError, one_line
from rule_jax.reporting.data import collect
from rule_jax.reporting.vocabulary import counts, side, task_label, task_names

OWN = flags.FlagValues()
CONFIG = flags.DEFINE_string("config", "configs/grpo.py", "The config file of all runs.", OWN)
REQUESTS = flags.DEFINE_list("requests", [], "The requests in their order: each a config.data.path.", OWN)
WORKDIR = flags.DEFINE_string("workdir", "runs/sequence", "Each run has its place under here.", OWN)
RETRY = flags.DEFINE_bool("retry", False, "Try again what failed.", OWN)

EARLIER = "forget_earlier"


def main(argv: Sequence[str]) -> int:
    common, passed_on = points.settings_of(argv[1:])
    places = local.Places(Path(WORKDIR.value))
    runs = requests(CONFIG.value, REQUESTS.value, common, places)
    check(runs)
    run = local.Runner(places, [local.Slot()], passed_on)
    for point in runs:
        run([point], retry=RETRY.value)
        if places.state(point) != "done":
            print(f"failed: {point.name}: {places.error(point)} ({places.log(point)})", file=sys.stderr)
            return 1
    text = table([collect(places.run(point))["stages"] for point in runs])
    files.write_text(places.workdir / "table.md", text)
    print(text, end="")
    return 0


def requests(config_file: str, paths: Sequence[str], common: Override, places: local.Places) -> list[Point]:
    """A point for each path, in order: it begins from the export of the one before and has asked of all before it."""
    if not paths:
        raise UserError("--requests is missing; try --requests=1,2,3")
    made: list[Point] = []
    for number, path in enumerate(paths, 1):
        own: dict[str, Any] = {
            "label": f"request{number}",
            "data.path": path,
            "data.earlier": tuple(paths[: number - 1]),
        }
        if made:
            own["model.path"] = str(places.run(made[-1]) / "export")
        made += points.resolve(config_file, [{**common, **own}], "--requests")
    return made


def check(runs: Sequence[Point]) -> None:
    """Reads the data of all requests, before the first one is run. Raises UserError for what is wrong with them."""
    if "export" not in runs[0].settings["stages"]:
        raise UserError("config.stages has no export: the next request could not begin where this one ended")
    source = runs[0].settings["data"]["source"]
    paths = [point.settings["data"]["path"] for point in runs]
    data.load(source, paths, seed=runs[0].seed, options=runs[0].settings["data"][source])


def table(runs: Sequence[Mapping[str, Any]]) -> str:
    """Markdown: a row a task, with what is leaked of what was to be forgotten and what is right of what was to be kept:
    by the model that the first run began from, and by the one that each run made.

    runs: {model: {task: figures}} of each run, the base first and the last model last.
    """
    models = [next(iter(runs[0].values())), *([*run.values()][-1] for run in runs)]
    names = [name for name in task_names({str(n): m for n, m in enumerate(models)}) if counts(name) or name == EARLIER]
    rows = [["task", "figure", "before", *(f"after request {number}" for number in range(1, len(models)))]]
    for name in names:
        metric = {"forget": "leak_rate", "retain": "accuracy"}.get(side(name))
        values = [model.get(name, {}).get(metric) for model in models]
        if any(value is not None for value in values):
            cells = ["" if value is None else f"{value:.3f}" for value in values]
            rows.append([task_label(name), str(metric).replace("_", " "), *cells])
    rows.insert(1, ["---"] * len(rows[0]))
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def console() -> None:
    """Runs `main`; what a user can mend is one line and exit code 2."""
    with one_line(flags.Error):
        sys.exit(main(OWN(sys.argv, known_only=True)))


if __name__ == "__main__":
    console()
