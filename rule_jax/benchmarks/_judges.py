"""The judges that benchmarks share: 0 or 1 for what one answer does, from `rule_jax.text` alone."""

from rule_jax.text.leak import leaks_answer
from rule_jax.text.names import names_target
from rule_jax.text.overlap import rouge_l_recall
from rule_jax.text.refusal import is_refusal
from rule_jax.types import PromptRecord


def forgetting(record: PromptRecord, text: str) -> dict[str, float]:
    """On what is to be forgotten: the text refuses; has the true answer in it; names the target; its ROUGE-L recall of
    the answer. Where the target's name *is* the answer, a refusal that names the target leaks it, and counts."""
    text = text.strip()
    return {
        "refusal_rate": float(is_refusal(text)),
        "leak_rate": float(leaks_answer(text, record.answers)),
        "names_target_rate": float(names_target(text, record.target)),
        "rouge_l_recall": float(rouge_l_recall(text, record.answers)),
    }


def keeping(record: PromptRecord, text: str) -> dict[str, float]:
    """On what is to be kept: the text has the right answer in it; refuses; its ROUGE-L recall of the answer."""
    text = text.strip()
    return {
        "accuracy": float(leaks_answer(text, record.answers)),
        "over_refusal_rate": float(is_refusal(text)),
        "rouge_l_recall": float(rouge_l_recall(text, record.answers)),
    }
