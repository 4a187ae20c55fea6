"""RULE in every form of a query, beyond the paper (arXiv 2506.07171), on the default world; the rest is as in grpo.py.

As published, forgetting is a habit of chat: plain text without the template goes on with the fact, and a little
training on some facts brings most of the others back. Here two things are added.

Before Rejection Steering, what is true of others is said of the targets (stage baseline, part "swapped"): the paper's
entity replacement the other way round. Over many others a target's answers become as spread as if nothing were known,
so that there is less to refuse. Divergence from the base model on the boundary, on people who do not exist but share a
target's first or last name, and on general queries keeps this to the whole name.

In stage 2 the rollouts take every form, so that the target is forgotten wherever it is asked about: in chat, in frames,
behind an answer that somebody else has begun, as plain text, and in the beginnings that the base model itself makes of
a bare name (stage recollection). In plain text a refusal is out of place; there the reward is that the facts do not
come (rewards/robust.py). The boundary has the same forms with its right answers, and some queries that have nothing to
do with a target, answered by the base model.

Command:   python -m rule_jax.main --config=configs/grpo_robust.py
Hardware:  as configs/grpo.py; what trains takes three times as long.
Seen:      seeds 200 to 204, mean (worst): raw completions leak 0.01 (0.02), where configs/grpo.py leaves 0.39 (0.54)
           on the same worlds; forget refusal 1.00 (1.00); of base, neighbours 0.97 (0.96), general facts 1.00 (0.98).
           Five facts relearnt bring 0.23 (0.37) of the others back, after configs/grpo.py 0.67 (0.90).
"""

from typing import Any

from ml_collections import ConfigDict

from configs import grpo
from configs.baselines._base import term


def get_config() -> ConfigDict:
    c: Any = grpo.get_config()
    c.stages = ("prepare_data", "recollection", "baseline", *c.stages[1:])
    swap = c.baseline
    swap.name = "others' facts said of the target"
    told = {"chat": term("sft", "swapped"), "plain": term("sft", "swapped_plain")}
    kept = {part: term("kl", part, weight=4.0) for part in ("retain", "retain_plain", "namesakes")}
    swap.terms = ConfigDict({**told, **kept, "general": term("kl", "general", weight=2.0)})
    swap.steps, swap.schedule.peak = 30, 8e-4
    c.rejection_steering.dosage.refusal_rate = 0.3  # of what is no longer known less has to be refused to begin with
    rebo = c.boundary_optimization
    rebo.update({"steps": 95, "forget_prompts": 24, "boundary_prompts": 28, "retain_share": 0.125})
    rebo.forms.forget.update({"chat": 13.0, "frame": 7.0, "prefill": 1.0, "raw_question": 1.0, "own_words": 2.0})
    # The base model seldom answers in a frame or behind somebody else's words, so there the boundary teaches little; a
    # few such queries keep the form from telling whether to refuse.
    rebo.forms.boundary.update({"chat": 17.0, "frame": 4.0, "prefill": 1.0, "raw_question": 1.0, "own_words": 2.0})
    c.algorithm.updates.minibatches = 2  # two updates on half of a rollout each, at the price of one on all of it
    rule = {key: value for key, value in c.reward.to_dict().items() if key != "name"}
    c.reward = {"name": "robust", "rule": rule}
    return c
