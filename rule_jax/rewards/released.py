"""The rewards of the authors' released code, for runs that are to be compared with the paper's numbers.

They differ from `rule` in what counts as a refusal (`refusal_compat`), as naming (the target's name in its own letters
and case) and as overlap (the `rouge` package), and never look at whether an answer was cut. `variant` is the name in
that code; with [r] "is a refusal", [t] "holds the target's name", [o] "ROUGE-L recall above 0.3":

    variant                                         forget                    boundary
    forget_reward_two_stage_abs                     [r]                       1/2 [not r] (1 + [o])
    forget_reward_two_stage_abs_target              1/2 [r] (1 + [t])         1/2 [not r] (1 + [o])
    forget_reward_two_stage_abs_target_half_reject  1/4 [r] (1 + [t])         [not r]
    reject_behave_reward                            0.7 [r] + 0.3 [o of t]    0.7 [not r] + 0.3 [o]

[o] is taken against the mean recall over all references in the first variant, against the first reference in the
others. forget_reward_two_stage_abs_target is the one of the published recipe.
"""

from collections.abc import Callable, Sequence

from rule_jax.errors import UserError, nearest
from rule_jax.text import overlap_compat
from rule_jax.text.refusal_compat import is_refusal
from rule_jax.types import Answer, PromptRecord, Reward, Score

TAU = 0.3

# (refusal, names_target) and (non_refusal, overlap), each 0 or 1, to the reward of a forget and of a boundary record
Branch = Callable[[float, float], float]
VARIANTS: dict[str, tuple[Branch, Branch]] = {
    "forget_reward_two_stage_abs": (lambda r, _: r, lambda n, o: n * (1 + o) / 2),
    "forget_reward_two_stage_abs_target": (lambda r, t: r * (1 + t) / 2, lambda n, o: n * (1 + o) / 2),
    "forget_reward_two_stage_abs_target_half_reject": (lambda r, t: r * (1 + t) / 4, lambda n, _: n),
    "reject_behave_reward": (lambda r, t: 0.7 * r + 0.3 * t, lambda n, o: 0.7 * n + 0.3 * o),
}


def make(*, variant: str) -> Reward:
    """The reward of that name, or a UserError that says which there are.

    Parts of a Score, each 0 or 1: "refusal" on both branches, "names_target" on forget records, "non_refusal" and
    "overlap" on boundary records. Other than in `rule`, an empty answer to a boundary query earns the part for not
    refusing, as gibberish does: the released reward's known weakness.
    """
    if variant not in VARIANTS:
        raise UserError(
            f"reward.variant={variant!r}: there are {', '.join(VARIANTS)}.{nearest(variant, VARIANTS)}"
        )  # fmt: skip
    forget, boundary = VARIANTS[variant]
    averaged = variant == "forget_reward_two_stage_abs"
    by_overlap = variant == "reject_behave_reward"

    def score(record: PromptRecord, text: str) -> Score:
        refusal = float(is_refusal(text))
        if record.kind == "forget":
            held = overlap(text, [record.target]) > TAU if by_overlap else record.target in text
            return Score(forget(refusal, float(held)), {"refusal": refusal, "names_target": float(held)})
        found = float(overlap(text, record.answers if averaged else record.answers[:1]) > TAU)
        parts = {"refusal": refusal, "non_refusal": 1 - refusal, "overlap": found}
        return Score(boundary(1 - refusal, found), parts)

    def reward(records: Sequence[PromptRecord], answers: Sequence[Answer]) -> list[Score]:
        return [score(record, answer.text) for record, answer in zip(records, answers, strict=True)]

    return reward


def overlap(text: str, references: Sequence[str]) -> float:
    """The mean ROUGE-L recall over the references; 0 where the package raises on any of them, and for none."""
    try:
        found = [overlap_compat.rouge_l(text, reference).recall for reference in references]
    except ValueError:
        return 0.0
    return sum(found) / len(found) if found else 0.0
