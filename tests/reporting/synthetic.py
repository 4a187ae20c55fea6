"""Finished runs without a model: the files that a report reads, with answers whose fates are written down."""

import json
from typing import Any

TARGETS = ("Ada Quill", "Bo Marsh")
MODELS = ("base", "rejection_steering", "boundary_optimization")
SCRIPT = "<script>alert('x')</script>"

# task -> kind, and per model the answers as a string: r refuses, l leaks, b both, o other; c correct, w wrong
FATES = {
    "forget": ("forget", {"base": "lllllllo", "rejection_steering": "rrrrrrlo", "boundary_optimization": "rrrrrrrr"}),
    "forget_raw": ("forget", {"base": "llll", "rejection_steering": "lllo", "boundary_optimization": "llbo"}),
    "boundary": ("boundary", {"base": "cccc", "rejection_steering": "ccrr", "boundary_optimization": "cccw"}),
    "neighbor": ("retain", {"base": "c" * 10, "rejection_steering": "cccccrrrrw", "boundary_optimization": "c" * 10}),
    "unknown": ("retain", {"base": "rrrr", "rejection_steering": "rrrr", "boundary_optimization": "rrro"}),
}  # fmt: skip


def judged(task, fate):
    if task.startswith("forget"):
        return {"refusal_rate": float(fate in "rb"), "leak_rate": float(fate in "lb"), "names_target_rate": 1.0}
    if task == "unknown":
        return {"refusal_rate": float(fate == "r")}
    return {"accuracy": float(fate == "c"), "over_refusal_rate": float(fate == "r")}


def lines(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def mean(rows):
    return {key: sum(row[key] for row in rows) / len(rows) for key in rows[0]}


def make_run(tmp_path, fates=FATES, **config):
    """A finished run: 3 models, 5 tasks, 2 targets, one step logged twice, one refusal that carries a script tag.

    fates: as FATES. config: more of its config.
    """
    config = {"seed": 7, "stages": list(MODELS[1:]), "rl": {"lr": 1e-4, "name": "grpo"}, "empty": {}, **config}
    tmp_path.mkdir(parents=True, exist_ok=True)
    (tmp_path / "config.json").write_text(json.dumps(config))
    times = {"time_s": {"rejection_steering": 2.5, "boundary_optimization": 50.0}, "peak_rss_bytes": 2**30}
    (tmp_path / "time.json").write_text(json.dumps(times))
    steps = [{"stage": "rejection_steering", "step": s, "loss": 2.0 / s} for s in (1, 2, 3)]
    for step in (1, 2, 2, 3):
        again = step == 2 and any(s["step"] == 2 and s["stage"] == MODELS[2] for s in steps)
        steps.append({"stage": MODELS[2], "step": step, "reward/forget": 0.5, "kl": 9.0 if again else 1.0})
    lines(tmp_path / "logs" / "metrics.jsonl", steps)
    for model in MODELS:
        folder = tmp_path / "evaluate" / model
        rows, metrics = [], {}
        for task, (kind, of_models) in fates.items():
            marks = [judged(task, fate) for fate in of_models[model]]
            metrics[task] = {**mean(marks), "n": len(marks)}
            if task == "forget":
                metrics[task]["per_target"] = {t: {**mean(marks[i::2]), "n": 4} for i, t in enumerate(TARGETS)}
            for i, mark in enumerate(marks):
                text = f"I do not know. {SCRIPT}" if mark.get("refusal_rate") else f"answer {i}"
                query = {"prompt": f"{task} question {i}?", "target": TARGETS[i % 2] if kind == "forget" else ""}
                row = {"task": task, "kind": kind, **query, "entity": "Cy <b>Stone</b>", "answers": [f"fact {i}"]}
                rows.append({**row, "text": text, "judged": mark})
        lines(folder / "generations.jsonl", rows)
        (folder / "metrics.json").write_text(json.dumps(metrics))
    return tmp_path


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def spoil(workdir, mark):
    """Puts the mark into every text of a run that somebody else may have chosen: names, answers, settings, tasks."""
    name = mark.replace("/", "")[:32]  # of a folder or a task, in which a slash has a meaning

    def marked(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: marked(item) for key, item in value.items()}
        if isinstance(value, list):
            return [marked(item) for item in value]
        return f"{value} {mark}" if isinstance(value, str) else value

    edit(workdir / "config.json", lambda config: config.update({**marked(config), "stages": config["stages"]}))
    (workdir / "evaluate" / "notes.json").write_text(json.dumps({"missing": [mark]}))
    for model in MODELS:
        folder = workdir / "evaluate" / model
        rows = [json.loads(line) for line in (folder / "generations.jsonl").read_text().splitlines()]
        kept = [{"task": f"{row['task']} {name}", "kind": row["kind"]} for row in rows]
        lines(folder / "generations.jsonl", [{**marked(row), **as_is} for row, as_is in zip(rows, kept)])
        tasks = json.loads((folder / "metrics.json").read_text())
        for row in tasks.values():
            row.update({"per_target": {f"{t} {mark}": per for t, per in row.get("per_target", {}).items()}})
        (folder / "metrics.json").write_text(json.dumps({f"{task} {name}": row for task, row in tasks.items()}))
    (workdir / "evaluate" / MODELS[1]).rename(workdir / "evaluate" / f"other {name}")
