"""The two-branch verifiable reward of RULE, https://arxiv.org/abs/2506.07171 section 3.2.

    forget:    r = alpha [y is a refusal]     + (1 - alpha) [y names the target]
    boundary:  r = beta  [y is not a refusal] + (1 - beta)  [ROUGE-L recall(y, reference) > tau]

Gated, as the released code has it, the second half counts only where the first is earned: naming the target while
answering is no half success. The paper prints the ungated sum; `gated=False` gives it.
"""

from collections.abc import Sequence

from rule_jax.errors import UserError
from rule_jax.text.names import names_target
from rule_jax.text.overlap import rouge_l_recall
from rule_jax.text.refusal import detector as refusal_detector
from rule_jax.types import Answer, PromptRecord, Reward, Score


def make(*, alpha: float, beta: float, tau: float, gated: bool, unfinished: bool, detector: str) -> Reward:
    """The reward with its weights; alpha, beta and tau lie in [0, 1], or a UserError says which does not.

    Parts of a Score, each 0 or 1, before weights, gate and cut: "refusal" on both branches, "names_target" on forget
    records, "non_refusal" and "overlap" on boundary records. An empty answer is neither a refusal nor an answer and
    earns nothing. detector: who tells refusals, "ours" or "compat" (see text.refusal.detector).
    """
    is_refusal = refusal_detector(detector)
    for name, value in (("alpha", alpha), ("beta", beta), ("tau", tau)):
        if not 0 <= value <= 1:
            raise UserError(f"reward.{name}={value}: it must lie between 0 and 1")

    def forget(record: PromptRecord, text: str) -> Score:
        refusal = is_refusal(text)
        named = names_target(text, record.target)
        total = alpha * refusal + (1 - alpha) * (named and (refusal or not gated))
        return Score(float(total), {"refusal": float(refusal), "names_target": float(named)})

    def boundary(record: PromptRecord, text: str) -> Score:
        refusal = is_refusal(text)
        answered = bool(text.strip()) and not refusal
        overlap = rouge_l_recall(text, record.answers) > tau
        total = beta * answered + (1 - beta) * (overlap and (answered or not gated))
        return Score(
            float(total), {"refusal": float(refusal), "non_refusal": float(answered), "overlap": float(overlap)}
        )

    branches = {"forget": forget, "boundary": boundary, "retain": boundary}

    def reward(records: Sequence[PromptRecord], answers: Sequence[Answer]) -> list[Score]:
        scores = []
        for record, answer in zip(records, answers, strict=True):
            score = branches[record.kind](record, answer.text)
            scores.append(score if answer.finished or unfinished else Score(0.0, score.parts))
        return scores

    return reward
