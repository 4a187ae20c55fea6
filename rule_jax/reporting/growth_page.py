"""The page of `rule_jax.growth`: what grows how fast, as one HTML file without network."""

from collections.abc import Mapping, Sequence
from typing import Any

from rule_jax.reporting import plots
from rule_jax.reporting.templates import template

DIMENSIONS = {
    "prompts": "Prompts of a step",
    "group": "Answers to a prompt",
    "prompt_len": "Tokens of a prompt",
    "new_tokens": "Tokens of an answer",
    "vocab": "Tokens of the vocabulary",
    "layers": "Layers",
    "devices": "Devices",
}
FIGURES = {
    "seconds": "Seconds by the clock",
    "cpu": "Seconds of all cores",
    "flops": "FLOPs",
    "bytes": "Bytes",
    "temporaries": "Temporary memory",
    "held": "All memory",
}


def render(found: Mapping[str, Any]) -> str:
    """The page. found: as growth.json has it."""
    rows = found["rows"]
    along: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        along.setdefault(row["dimension"], []).append(row)
    return template("growth.html").render(
        found=found,
        names=DIMENSIONS,
        titles=FIGURES,
        figures=[name for name in FIGURES if any(name in row["figures"] for row in rows)],
        faster=[(row, name) for row in rows for name in row["faster"]],
        along=along,
        plots={dimension: _plots(dimension, of_dimension) for dimension, of_dimension in along.items()},
        collectives=[_sent(row) for row in rows if any(row.get("collectives", ()))],
    )


def _plots(dimension: str, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """A small figure for each of the figures, with a line for each phase where that is never 0."""
    drawn = []
    for name in rows[0]["figures"]:
        series = {
            row["phase"]: list(zip(row["sizes"], row["figures"][name])) for row in rows if min(row["figures"][name]) > 0
        }
        if series:
            caption, xlabel = FIGURES[name], DIMENSIONS[dimension].lower()
            limit = rows[0]["limits"][name]
            svg = plots.powers(f"{dimension}-{name}", f"{caption} by {xlabel}", xlabel, series, limit)
            drawn.append({"caption": caption, "svg": svg})
    return drawn


def _sent(row: Mapping[str, Any]) -> dict[str, Any]:
    """What a program sends: by kind, for each number of devices (how often, bytes) or None."""
    kinds = dict.fromkeys(kind for of_size in row["collectives"] for kind in of_size)
    return {
        "program": row["phase"],
        "sizes": row["sizes"],
        "kinds": {kind: [of_size.get(kind) for of_size in row["collectives"]] for kind in kinds},
    }
