"""The audit in words and numbers: audit.json for programs, audit.md for people."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rule_jax.builder.audit import CHECKS, Finding
from rule_jax.types import UnlearningData

EXAMPLES = 3  # of each check
_PARTS = ("forget", "boundary", "rejection")


def summary(
    data: UnlearningData, findings: Sequence[Finding], actions: Mapping[str, str], kept: UnlearningData | None = None
) -> dict[str, Any]:
    """Counts and examples. data: what was audited. kept: what the repair has left of it, if there was one.

    "answers" gives the most frequent first answers of the boundary with their counts, whether or not one dominates.
    """
    checks = {}
    for name in CHECKS:
        found = [finding for finding in findings if finding.check == name]
        counts = Counter(finding.part for finding in found)
        checks[name] = {
            "rows": {part: counts[part] for part in _PARTS},
            "action": actions[name],
            "examples": [_example(data, finding) for finding in found[:EXAMPLES]],
        }
    firsts = Counter(record.answers[0] for record in data.boundary if record.answers)
    return {
        "targets": list(data.targets),
        "rows": _sizes(data),
        "rows_kept": _sizes(kept) if kept else None,
        "rows_found": {part: len({f.row for f in findings if f.part == part}) for part in _PARTS},
        "answers": dict(firsts.most_common(EXAMPLES)),
        "checks": checks,
    }


def markdown(report: Mapping[str, Any]) -> str:
    """The summary as a page: a table of counts, then examples of each check that found something."""
    sizes = ", ".join(f"{count} {part}" for part, count in report["rows"].items())
    lines = [f"# Audit: {', '.join(report['targets'])}", "", f"{sizes} rows."]
    if report["rows_kept"]:
        lines[-1] += f" Kept: {', '.join(f'{count} {part}' for part, count in report['rows_kept'].items())}."
    lines += ["", "| check | forget | boundary | rejection | action |", "|---|---|---|---|---|"]
    for name, check in report["checks"].items():
        lines.append(f"| {name} | {' | '.join(str(check['rows'][part]) for part in _PARTS)} | {check['action']} |")
    common = "; ".join(f"{_cell(answer)} ({count})" for answer, count in report["answers"].items())
    lines += ["", f"Most frequent boundary answers: {common or 'none'}."]
    for name, check in report["checks"].items():
        if check["examples"]:
            lines += ["", f"## {name}", ""]
            lines += [f"* {e['source']}: {_cell(e['prompt'])} — {_cell(e['reason'])}" for e in check["examples"]]
    return "\n".join(lines) + "\n"


def _sizes(data: UnlearningData) -> dict[str, int]:
    return {part: len(getattr(data, part)) for part in _PARTS}


def _example(data: UnlearningData, finding: Finding) -> dict[str, Any]:
    record = getattr(data, finding.part)[finding.row]
    answers = [record.response] if finding.part == "rejection" else list(record.answers)
    source = record.source or f"{finding.part}:{finding.row + 1}"
    return {"source": source, "prompt": record.prompt, "answers": answers, "reason": finding.reason}


def _cell(text: str) -> str:
    """One line that no table or list is broken by."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
