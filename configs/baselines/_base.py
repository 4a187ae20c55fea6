"""What the recipes of this folder share: the default world, and the stage "baseline" in place of RULE's two."""

from typing import Any

from ml_collections import ConfigDict

from configs import grpo

GDR = {"objective": "sft", "of": "retain", "weight": 1.0, "options": {}}
KLR = {"objective": "kl", "of": "retain", "weight": 1.0, "options": {}}


def term(objective: str, of: str, *, weight: float = 1.0, **options: Any) -> dict[str, Any]:
    """A term of config.baseline.terms."""
    return {"objective": objective, "of": of, "weight": weight, "options": options}


def config(name: str, terms: dict[str, Any], *, peak: float = 0.0, steps: int = 60) -> Any:
    """configs/grpo.py with the baseline of these terms in place of Rejection Steering and Boundary Optimization.

    peak, steps: of the learning rate's schedule; the peaks are those that configs/sweeps/baseline_rates.py found best.
    Idle without terms, where nothing is trained or exported.
    """
    c: Any = grpo.get_config()
    c.stages = ("prepare_data", "baseline", "evaluate", "robustness", "export", "report")
    if not terms:
        c.stages = tuple(stage for stage in c.stages if stage != "export")
    c.baseline.name = name
    c.baseline.terms = ConfigDict(terms)
    c.baseline.steps = steps
    c.baseline.schedule.peak = peak
    return c
