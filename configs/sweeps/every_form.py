"""Forgetting in every form: RULE as published, its other algorithms, the robust recipe, and the strongest rivals.

Asks:     which method keeps the facts also from those who do not ask in chat, or not politely?
Command:  python -m launch.sweep --config=configs/grpo.py --sweep=configs/sweeps/every_form.py
Rules:    settings picked on other seeds, though other forms of the robust recipe ran on four of these
          (tests/robust/LOG.md); who shares a first name with a target is never trained on; every method by its own
          recipe, the baselines' rates as configs/sweeps/baseline_rates.py found them best. All attacks of the stage
          robustness on 90 questions, 64 samples of each, and relearning from five facts.
Watch:    the rows "Target under attack" and "after relearning" of the page; costs.csv for the seconds.
Time:     1 to 4 minutes of one core a point, the baselines the cheapest; each seed's base model 1 to 2 more.
Seen:     README's table, of the first two methods; the others ran on seeds 200 to 204. In plain text the robust recipe
          leaks 0.004 where RULE leaves 0.339; relearning brings 0.353 back, after RULE 0.697; it keeps 0.980 of the
          neighbours, RULE 0.973.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from launch.points import product

METHODS = ("grpo", "grpo_robust", "baselines/npo_klr", "baselines/rs_retain", "ppo", "reinforce_pp")
SEEDS = (301, 302, 303, 304, 305)
ALIKE = {
    "data.world.namesakes_apart": True,
    "robustness.records": 108,
    "robustness.samples": 64,
    "robustness.best_of": 8,
    "robustness.relearning.examples": (5,),
}


def get_sweep(config: ConfigDict) -> Sequence[Mapping[str, Any]]:
    methods = [{"config": f"configs/{name}.py", "label": Path(name).stem} for name in METHODS]
    return product(methods, [{"seed": seed} for seed in SEEDS], [ALIKE])
