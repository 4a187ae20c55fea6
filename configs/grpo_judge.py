"""RULE with GRPO, its reward joined by a judge's and gated against noise: how rewards are combined.

Asks:     what does a reward earn that no pattern can check? "quality" takes everything from "...", noise and endless
          phrases; "judge" asks an OpenAI-compatible endpoint how well a person would take the answer.
Command:  python -m rule_jax.main --config=configs/grpo_judge.py --config.reward.terms.judge.llm.base_url=URL \
              --config.reward.terms.judge.llm.model=NAME
Cost:     one request for each different answer to a prompt: at most 256 a step, 17,920 in all. The replies are kept in
          the journal and never paid for twice; llm.budget bounds them.
Result:   not measured with a real judge yet; the tests run it against a server on loopback.
"""

from typing import Any

from ml_collections import ConfigDict

from configs import grpo


def get_config() -> ConfigDict:
    c: Any = grpo.get_config()
    rule = c.reward.to_dict()
    del rule["name"]
    c.reward = {
        "name": "weighted",
        "terms": {
            "rule": {"weight": 1.0, **rule},
            "judge": {"weight": 0.5, "journal": "runs/judge.jsonl", "llm": c.naturalness.judge.llm.to_dict()},
        },
        # gibberish, repetition: the share of an answer's words from which it counts as noise, or as a loop.
        "gates": {"quality": {"gibberish": 0.3, "repetition": 0.5, "cut": True}},
    }
    return c
