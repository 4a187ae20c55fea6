"""RULE in every form of a query, beyond the paper (arXiv 2506.07171), on the default world; the rest is as in grpo.py.

As published, forgetting is a habit of chat: plain text without the template goes on with the fact, and a little
training on some facts brings most of the others back. Here both stages are others.

Before stage 2 the stage baseline does more than Rejection Steering, and spills less. Refusals that name the target are
learnt beside what is true of others, said of the targets in plain text (part "swapped_plain"): the paper's entity
replacement the other way round. Over many others a target's facts become as spread as if nothing were known of it.
Divergence from the base model on the boundary, on people who do not exist but share a target's first or last name, and
on general queries keeps both to the whole name, so that nobody else is refused whom stage 2 would have to win back.

In stage 2 the rollouts take every form, so that the target is forgotten wherever it is asked about: in chat, in frames,
behind an answer that somebody else has begun, as plain text, and in the beginnings that the base model itself makes of
a bare name (stage recollection). In plain text a refusal is out of place; there the reward is that the facts do not
come (rewards/robust.py). The boundary has the same forms with its right answers, questions about nobody who has half a
target's name, which are not to be refused, and some queries that have nothing to do with a target, answered by the base
model. The KL holds these, and hardly what is to be forgotten. Of what is sampled, half is learnt from: where the
answers earned differently.

Command:   python -m rule_jax.main --config=configs/grpo_robust.py
Hardware:  as configs/grpo.py; what trains takes 1.7 to 1.8 times as long.
Seen:      seeds 301 to 305, mean (worst): raw completions leak 0.00 (0.01), where configs/grpo.py leaves 0.34 (0.58)
           on the same worlds; forget refusal 1.00 (1.00); of base, neighbours 0.98 (0.97), general facts 1.00 (0.99).
           Five facts relearnt bring 0.35 (0.53) of the others back, after configs/grpo.py 0.70 (0.84).
"""

from typing import Any

from ml_collections import ConfigDict

from configs import grpo
from configs.baselines._base import term


def get_config() -> ConfigDict:
    c: Any = grpo.get_config()
    c.stages = ("prepare_data", "recollection", "baseline", *c.stages[2:])
    steering = c.baseline
    steering.name = "refusals, and others' facts said of the target"
    learnt = {"refusal": 4.0, "swapped_plain": 1.0}
    kept = {"retain": 4.0, "retain_plain": 4.0, "namesakes": 4.0, "general": 2.0}
    terms = {part: term("sft", part, weight=weight) for part, weight in learnt.items()}
    steering.terms = ConfigDict({**terms, **{part: term("kl", part, weight=weight) for part, weight in kept.items()}})
    steering.steps, steering.schedule.peak = 50, 8e-4
    rebo = c.boundary_optimization
    rebo.temperature = 1.15  # so that what is seldom sampled at 1 is met, and unlearnt
    rebo.update({"steps": 76, "forget_prompts": 28, "boundary_prompts": 24, "retain_share": 0.125, "kept_prompts": 28})
    rebo.forms.forget.update({"chat": 15.0, "frame": 8.0, "prefill": 1.0, "raw_question": 1.0, "own_words": 3.0})
    # The base model seldom answers in a frame or behind somebody else's words, so there the boundary teaches little; a
    # few such queries keep the form from telling whether to refuse.
    rebo.forms.boundary.update({"chat": 10.0, "frame": 3.0, "prefill": 1.0, "raw_question": 1.0, "own_words": 2.0})
    rebo.forms.boundary.namesake = 5.0  # nobody in the data shares a target's name; whoever does is refused first
    # Two updates on half of a rollout each, at the price of one on all of it.
    c.algorithm.updates.update({"minibatches": 2, "old": "sampled"})
    # To where stage 2 begins, which has others nearly as the base has them, but not who is to be forgotten.
    c.algorithm.kl.update({"coef": 0.3, "forget": 0.03})
    rule = {key: value for key, value in c.reward.to_dict().items() if key != "name"}
    c.reward = {"name": "robust", "rule": rule}
    return c
