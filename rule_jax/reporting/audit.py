"""The record of an erasure, `report/audit.json`, and whether what it speaks of is still what it was.

A record holds who was to be forgotten and on whose request, hashes of the data, of the model before and after and of
all answers, the figures, the limits by which they were judged and the judgement. `verify` compares all of that with
what lies in the folders now, works the figures out again from the answers, and judges them anew by the record's limits.

A record is no signature: who can change the files can write a new one. Keep its `record_sha256` where they cannot.

Schema 1
    schema, made     made: when the record was written, UTC
    request_id       config.report.request_id, or 16 digits that follow from targets, data and model
    targets          the entities that were to be forgotten
    data             {a file under data/, one of DATA: {"sha256", "records"}}; null where a run had none
    models           {"before" | "after": {"path", "files": {name: sha256}} or {"reason": why there is none}}
    evaluation       {model: {"generations.jsonl" | "metrics.json" | "scores.jsonl": sha256}}
    metrics          {model: {task: {metric: value | null, "n"}}}
    limits           as verdict.Limits
    decision         {"model", "headline"}
    config_sha256    of config.json
    versions         {package: version}
    record_sha256    of all of the above
"""

import datetime
import hashlib
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rule_jax import files
from rule_jax.errors import UserError
from rule_jax.reporting import recorded
from rule_jax.reporting.verdict import LIMITS, Limits, final_model, verdict

FILE = Path("report") / "audit.json"
DATA = ("rejection", "forget", "boundary", "retain", "own_words", "recalled")
JUDGED = ("generations.jsonl", "metrics.json", "scores.jsonl")
OF_A_MODEL = ("*.safetensors", "*.json", "*.jinja", "tokenizer.model")
NO_FIGURES = ("per_target", "intervals", "reasons")


def record(workdir: Path, report: Mapping[str, Any]) -> dict[str, Any]:
    """What audit.json is to hold of a finished run. report: its figures, as from `data.collect`."""
    final = final_model(report)
    data = {name: _data(workdir / "data" / f"{name}.jsonl") for name in DATA}
    models = {"before": _before(workdir), "after": _model(workdir / "export", "export")}
    content = {
        "schema": 1,
        "made": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "request_id": report["config"].get("report", {}).get("request_id")
        or _derived(report["targets"], data, [model.get("files") for model in models.values()]),
        "targets": report["targets"],
        "data": data,
        "models": models,
        "evaluation": {model: _hashes(workdir / "evaluate" / model, JUDGED) for model in report["stages"]},
        "metrics": {model: _figures(tasks) for model, tasks in report["stages"].items()},
        "limits": LIMITS._asdict(),
        "decision": {"model": final, "headline": verdict(report["stages"], final, report["targets"])["headline"]},
        "config_sha256": _sha256(workdir / "config.json"),
        "versions": report["versions"],
    }
    return {**content, "record_sha256": _digest(content)}


def write(workdir: Path, report: Mapping[str, Any]) -> dict[str, Any]:
    """Writes the record of a finished run unless it has one, which stays; returns what there is then."""
    path = workdir / FILE
    if not path.exists():
        files.write_json(path, record(workdir, report))
    return files.read_json(path)


def verify(workdir: Path) -> list[str]:
    """A line for each thing that is not as the record of `workdir` has it, and for each that cannot be checked.

    Raises UserError when there is no record, or none of this schema.
    """
    found = files.read_json(workdir / FILE)
    if found.get("schema") != 1 or "record_sha256" not in found:
        raise UserError(f"{workdir / FILE} is no erasure record of schema 1")
    content = {key: value for key, value in found.items() if key != "record_sha256"}
    lines = []
    _check_names(workdir, content)
    try:
        if _digest(content) != found["record_sha256"]:
            lines.append("the record itself was changed: its content has another hash than its record_sha256")
        lines += [*_compare_files(workdir, content), *_compare_figures(workdir, content), *_compare_decision(content)]
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:  # any shape, any number
        raise UserError(
            f"{workdir / FILE} is malformed ({type(error).__name__}: {error}); {'; '.join(lines)}"
        ) from None
    return lines


def _check_names(workdir: Path, content: Mapping[str, Any]) -> None:
    """Raises UserError for a record whose names are paths: whoever wrote it chose what would be looked at."""
    parts = [content.get(part) for part in ("data", "evaluation", "metrics")]
    names = [name for part in parts if isinstance(part, Mapping) for name in part]
    if elsewhere := [name for name in names if not files.is_name(name)]:
        raise UserError(f"{workdir / FILE} speaks of what is not in its run: {elsewhere[0][:200]}")


def _compare_files(workdir: Path, content: Mapping[str, Any]) -> Iterator[str]:
    yield from _differs("config.json", content["config_sha256"], _sha256(workdir / "config.json"))
    for name, was in content["data"].items():
        now = _data(workdir / "data" / f"{name}.jsonl")
        yield from _differs(f"data/{name}.jsonl", was["sha256"] if was else None, now["sha256"] if now else None)
    for name, was in content["models"].items():
        if "files" not in was:
            continue
        place = workdir / "export" if name == "after" else Path(was["path"])
        now = _hashes(place, OF_A_MODEL)
        if not now:
            yield f"the model {name} cannot be checked: {place} is not there"
            continue
        for file in sorted(was["files"].keys() | now.keys()):
            yield from _differs(f"the model {name}: {file}", was["files"].get(file), now.get(file))
    for model, was in content["evaluation"].items():
        now = _hashes(workdir / "evaluate" / model, JUDGED)
        for file in sorted(was.keys() | now.keys()):
            yield from _differs(f"evaluate/{model}/{file}", was.get(file), now.get(file))


def _compare_figures(workdir: Path, content: Mapping[str, Any]) -> Iterator[str]:
    """The record's figures against those of each file that states them, and against the answers."""
    report = workdir / "report" / "metrics.json"
    stated = files.read_json(report).get("stages", {}) if report.exists() else {}
    if not report.exists():
        yield "report/metrics.json cannot be checked: it is not there"
    for model, was in content["metrics"].items():
        folder = workdir / "evaluate" / model
        if report.exists():
            yield from _compare_tables(f"report/metrics.json, {model}", was, _figures(stated.get(model, {})))
        if (folder / "metrics.json").exists():
            now = _figures(files.read_json(folder / "metrics.json"))
            yield from _compare_tables(f"evaluate/{model}/metrics.json", was, now)
        if (folder / "generations.jsonl").exists():
            answers = _from_answers(folder / "generations.jsonl")
            both = {
                task: {m: v for m, v in row.items() if m in answers[task]}
                for task, row in was.items()
                if task in answers
            }
            yield from _compare_tables(f"the answers of {model}", both, answers)


def _compare_tables(where: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for task, row in was.items():
        for metric, value in row.items():
            other = now.get(task, {}).get(metric)
            if not _equal(value, other):
                yield f"{where}: {task} {metric} is {_say(other)}, recorded was {_say(value)}"


def _compare_decision(content: Mapping[str, Any]) -> Iterator[str]:
    was = content["decision"]
    now = verdict(content["metrics"], was["model"], content["targets"], Limits(**content["limits"]))["headline"]
    if now != was["headline"]:
        yield f"the decision: by the record's limits its figures say “{now}”, recorded was “{was['headline']}”"


def _differs(what: str, was: str | None, now: str | None) -> Iterator[str]:
    if was != now:
        yield f"{what} is {now or 'not there'}, recorded was {was or 'nothing'}"


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, int | float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=0, abs_tol=1e-9)
    return one == other


def _say(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _figures(tasks: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    return {task: {m: v for m, v in row.items() if m not in NO_FIGURES} for task, row in tasks.items()}


def _from_answers(path: Path) -> dict[str, dict[str, float]]:
    """The mean of each judgement over the answers of a task, "parent/child" also pooled as "parent"."""
    columns: dict[str, dict[str, list[float]]] = {}
    for row in recorded.lines(path, recorded.ANSWER):
        for task in dict.fromkeys((row["task"], row["task"].partition("/")[0])):
            for metric, value in (row.get("judged") or {}).items():
                columns.setdefault(task, {}).setdefault(metric, []).append(value)
    return {t: {m: math.fsum(v) / len(v) for m, v in by.items()} for t, by in columns.items()}


def _data(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    with path.open("rb") as file:
        return {"sha256": _sha256(path), "records": sum(bool(line.strip()) for line in file)}


def _before(workdir: Path) -> dict[str, Any]:
    about = workdir / "data" / "model.json"
    if not about.exists():
        return {"reason": "the run did not say which model it began from"}
    return _model(Path(files.read_json(about)["path"]), "the model that the run began from")


def _model(path: Path, what: str) -> dict[str, Any]:
    found = _hashes(path, OF_A_MODEL)
    return {"path": str(path), "files": found} if found else {"reason": f"{what} is not there: {path}"}


def _hashes(folder: Path, patterns: Iterable[str]) -> dict[str, str]:
    if not os.path.isdir(folder):  # False, too, for what is no path at all: a record may hold anything
        return {}
    found = sorted({path for pattern in patterns for path in folder.glob(pattern) if path.is_file()})
    return {path.name: str(_sha256(path)) for path in found}


def _sha256(path: Path) -> str | None:
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _derived(*content: Any) -> str:
    return _digest(content)[:16]


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, allow_nan=False).encode()).hexdigest()
