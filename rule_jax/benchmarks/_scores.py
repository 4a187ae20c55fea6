"""The judges of scoring tasks that benchmarks share: figures of one text from its tokens' log-probabilities."""

from collections.abc import Sequence

from rule_jax.metrics import membership, memorization
from rule_jax.types import Continuations, TokenScores


def seen(query: Continuations, scores: Sequence[TokenScores]) -> dict[str, float]:
    """LOSS, Zlib, Min-K% and Min-K%++ at 20 and 40 %, all larger for what looks like training data."""
    (found,) = scores
    plus_N = membership.standardized(found.logprob_N, found.mean_N, found.deviation_N)
    return {
        "loss": membership.loss(found.logprob_N),
        "zlib": membership.zlib_ratio(found.logprob_N, query.texts[0]),
        "min_k_20": membership.min_k(found.logprob_N, 0.2),
        "min_k_40": membership.min_k(found.logprob_N, 0.4),
        "min_k_plus_plus_20": membership.min_k(plus_N, 0.2),
        "min_k_plus_plus_40": membership.min_k(plus_N, 0.4),
    }


def remembered(query: Continuations, scores: Sequence[TokenScores]) -> dict[str, float]:
    """How much of the first text is continued word for word."""
    right_N = scores[0].right_N
    return {
        "exact_memorization": memorization.exact_memorization(right_N),
        "extraction_strength": memorization.extraction_strength(right_N),
        "extraction_strength_compat": memorization.extraction_strength_compat(right_N),
    }
