"""RULE in every form of a query, beyond the paper (arXiv 2506.07171), on the default world; the rest is as in grpo.py.

As published, forgetting is a habit of chat: plain text without the template goes on with the fact. Here the rollouts of
stage 2 take every form, so that the target is forgotten wherever it is asked about: in chat, in frames, behind an
answer that somebody else has begun, as plain text, and in the beginnings that the base model itself makes of a bare
name (stage recollection). In plain text a refusal is out of place; there the reward is that the facts do not come
(rewards/robust.py). The boundary has the same forms with its right answers, and some queries that have nothing to do
with a target, answered by the base model.

Command:   python -m rule_jax.main --config=configs/grpo_robust.py
Hardware:  as configs/grpo.py; stage 2 takes 1.3 to 2 times as long.
Seen:      seeds 200 to 204, mean (worst): raw completions leak 0.01 (0.03), where configs/grpo.py leaves 0.44 (0.58)
           on the same worlds; forget refusal 1.00 (1.00); of base, neighbours 0.98 (0.97), general facts 1.00 (0.99).
           Five facts relearnt bring 0.58 of the others back, after configs/grpo.py 0.66.
"""

from typing import Any

from ml_collections import ConfigDict

from configs import grpo


def get_config() -> ConfigDict:
    c: Any = grpo.get_config()
    c.stages = ("prepare_data", "recollection", *c.stages[1:])
    rebo = c.boundary_optimization
    rebo.update({"steps": 90, "forget_prompts": 24, "boundary_prompts": 24, "retain_share": 0.125})
    rebo.forms.forget.update({"chat": 8.0, "frame": 6.0, "prefill": 3.0, "raw_question": 3.0, "own_words": 4.0})
    # The base model seldom answers in a frame or behind somebody else's words, so there the boundary teaches little; a
    # few such queries keep the form from telling whether to refuse.
    rebo.forms.boundary.update({"chat": 14.0, "frame": 3.0, "prefill": 1.0, "raw_question": 1.0, "own_words": 2.0})
    rule = {key: value for key, value in c.reward.to_dict().items() if key != "name"}
    c.reward = {"name": "robust", "rule": rule}
    return c
