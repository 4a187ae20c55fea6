"""The training curves of the report: which logged scalars stand in which small figure."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rule_jax.reporting.plots import Scale, lines


class Panel(NamedTuple):
    """One small multiple of the training curves. keys: logged scalar -> its name in the legend."""

    name: str
    caption: str
    ylabel: str
    scale: Scale
    keys: Mapping[str, str]


# Order is the order on the page. A panel appears when the log holds at least one of its keys.
PANELS = (
    Panel("reward", "Reward", "mean reward", "unit", {"reward/forget": "forget", "reward/boundary": "boundary"}),
    Panel(
        "refusals",
        "Refusals among the samples",
        "refused",
        "percent",
        {"refusal_rate/forget": "forget", "refusal_rate/boundary": "boundary"},
    ),
    Panel(
        "parts",
        "Parts of the reward",
        "mean part",
        "unit",
        {
            "reward/forget/refusal": "refuses",
            "reward/forget/names_target": "names target",
            "reward/boundary/non_refusal": "answers",
            "reward/boundary/overlap": "overlap",
        },
    ),
    Panel(
        "validation",
        "Validation on held-out questions, greedily",
        "score",
        "unit",
        {"validation/score": "score", "validation/forget": "forget", "validation/keep": "keep"},
    ),
    Panel("zero", "Groups without a signal", "zero-variance groups", "percent", {"zero_variance_groups": "groups"}),
    Panel("kl", "Distance to the reference model", "KL (nats per token)", "free", {"kl": "KL"}),
    Panel("entropy", "Entropy of the sampler", "nats per token", "free", {"entropy": "entropy"}),
    Panel("loss", "Loss", "loss", "free", {"loss": "loss"}),
    Panel("grad", "Gradient norm", "before clipping", "free", {"grad_norm": "gradient norm"}),
    Panel(
        "length",
        "Length of the responses",
        "tokens",
        "free",
        {"response_length/mean": "mean", "response_length/max": "longest"},
    ),
    Panel("truncated", "Responses cut at the limit", "cut", "percent", {"truncated": "cut"}),
    Panel("lr", "Learning rate", "learning rate", "free", {"lr": "learning rate"}),
    Panel(
        "time",
        "Time of a step",
        "seconds",
        "free",
        {"time/rollout_s": "rollout", "time/reward_s": "reward", "time/update_s": "update"},
    ),
    Panel("speed", "Throughput", "tokens per second", "free", {"tokens_per_s": "tokens"}),
)


def training_panels(stage: str, records: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """The small multiples of one stage: [{"caption", "svg"}], only those for which something was logged.

    records: the stage's lines of logs/metrics.jsonl, by step. A value that is absent or not finite leaves a gap.
    """
    panels = []
    for panel in PANELS:
        series: dict[str, list[tuple[float, float]]] = {}
        for key, label in panel.keys.items():
            points = [(float(r["step"]), float(r[key])) for r in records if _is_number(r.get(key))]
            if points:
                series[label] = points
        if series:
            svg = lines(f"{stage}-{panel.name}", f"{panel.caption} by step", panel.ylabel, series, panel.scale)
            panels.append({"caption": panel.caption, "svg": svg})
    return panels


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
