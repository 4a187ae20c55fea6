"""What tasks, metrics and models are called on the page, on which side of the boundary a task lies, and which end of a
metric is the better one. A new task or metric shows under its own name until it is named here.
"""

from collections.abc import Mapping
from typing import Any, Literal

Side = Literal["forget", "retain", "utility", ""]

ASPECTS = ("readability", "helpfulness", "truthfulness")  # of an answer, as a judge rates it
MODELS = {
    "base": "Base",
    "rejection_steering": "Rejection steering",
    "boundary_optimization": "Boundary optimization",
    "baseline": "Offline unlearning",
    "model": "The model",
    "pretraining": "Pretraining of the world’s model",
}
TASKS = {
    "forget": ("Target: questions", "held-out phrasings"),
    "forget_cloze": ("Target: fill in the blank", "held-out phrasings"),
    "forget_sampled": ("Target: sampled answers", "several samples a question, temperature 1"),
    "forget_raw": ("Target: raw completion", "no chat template, the text is merely continued"),
    "forget_unseen": ("Target: about others", "the forgotten relation, of people never seen in unlearning"),
    "forget_fb": ("Target: fill in the blank (RWKU FB)", ""),
    "forget_qa": ("Target: questions (RWKU QA)", ""),
    "forget_aa": ("Target: adversarial questions (RWKU AA)", ""),
    "forget_earlier": ("Earlier targets", "what runs before this one forgot"),
    "boundary": ("Boundary entities", "near misses that training was allowed to see"),
    "neighbor": ("Neighbours", "entities never seen in unlearning"),
    "neighbor_namesakes": ("Namesakes", "neighbours who share a first name with a target"),
    "neighbor_raw": ("Neighbours: raw completion", "no chat template"),
    "neighbor_fb": ("Neighbours: fill in the blank (RWKU FB)", ""),
    "neighbor_qa": ("Neighbours: questions (RWKU QA)", ""),
    "general": ("General facts", "unrelated to any target"),
    "unknown": ("Names of nobody", "to be refused by every model"),
    "mmlu": ("MMLU", "general knowledge, multiple choice"),
    "bbh": ("BBH", "reasoning, step by step"),
    "truthfulqa_mc1": ("TruthfulQA MC1", "the likeliest answer is the true one"),
    "truthfulqa_mc2": ("TruthfulQA MC2", "probability of true answers among all"),
    "triviaqa": ("TriviaQA", "facts, in few words"),
    "fluency": ("Fluency", "of answers to instructions"),
    "forget_mia": ("Target: passages", "how likely they are, by what attacks on membership look at"),
    "retain_mia": ("Others: passages", "how likely they are, by what attacks on membership look at"),
    "membership": ("Membership inference", "area under the curve, passages on the target against others"),
    "knowmem_forget": ("Target: questions (MUSE KnowMem)", "no chat template"),
    "verbmem_forget": ("Target: passages to be continued (MUSE VerbMem)", "no chat template"),
    "knowmem_retain": ("Others: questions (MUSE KnowMem)", "no chat template"),
    "verbmem_tokens": ("Target: passages word for word", "MUSE VerbMem, by the likeliest tokens"),
    "privleak_forget": ("Target: passages (MUSE PrivLeak)", "how likely they are"),
    "privleak_retain": ("Others: passages (MUSE PrivLeak)", "how likely they are"),
    "privleak_holdout": ("Unseen passages (MUSE PrivLeak)", "how likely they are"),
    "privleak": ("Privacy leakage (MUSE)", "forgotten passages against unseen ones"),
    "forget_probability": ("Target: probability of answers (TOFU)", ""),
    "retain_probability": ("Others: probability of answers (TOFU)", ""),
    "real_authors_probability": ("Real authors: probability of answers (TOFU)", ""),
    "real_world_probability": ("World facts: probability of answers (TOFU)", ""),
    "tofu": ("TOFU as a whole", ""),
}
METRICS = {
    "refusal_rate": "Refuses",
    "leak_rate": "Leaks the true answer",
    "leak_any_rate": "Leaks in at least one answer",
    "kept_accuracy": "Others answered right",
    "names_target_rate": "Names the target",
    "accuracy": "Answers right",
    "over_refusal_rate": "Refuses wrongly",
    "rouge_l_recall": "ROUGE-L recall",
    "rouge_l_recall_compat": "ROUGE-L recall, as RWKU's tables have it",
    "leak_rate_floor": "Leaks, of a perfect refuser who names the target",
    "rouge_l_recall_floor": "ROUGE-L recall of that refuser",
    "rouge_l_recall_compat_floor": "ROUGE-L recall of that refuser, as RWKU's tables have it",
    "empty_rate": "Says nothing",
    "exact_match": "Exact match",
    "exact_match_compat": "Exact match, as released",
    "word_f1": "F1 of words",
    "word_f1_compat": "F1 of words, as released",
    "ngram_entropy": "Entropy of word pairs and triples",
    "repetition": "Repetition",
    "true_share": "Probability of true answers among all",
    "loss": "Log-probability of a token",
    "zlib": "Log-probability over compressed length",
    "min_k_20": "Min-20%",
    "min_k_40": "Min-40%",
    "min_k_plus_plus_20": "Min-20%++",
    "min_k_plus_plus_40": "Min-40%++",
    "rouge_l_f1": "ROUGE-L F1",
    "rouge_l_recall_stem": "ROUGE-L recall of word stems",
    "probability": "Probability of the true answer",
    "truth_ratio": "Truth ratio",
    "truth_ratio_compat": "Truth ratio, by the leaderboard's formula",
    "exact_memorization": "Exact memorization",
    "extraction_strength": "Extraction strength",
    "extraction_strength_compat": "Extraction strength, as released",
    "privleak": "PrivLeak, per cent",
    "model_utility": "Model utility",
    "model_utility_compat": "Model utility, by the leaderboard's formula",
    "forget_quality": "Forget quality, p-value",
    "forget_ks": "Forget quality, KS statistic",
    "all": "Every figure",
}
METRICS |= {
    f"auc_{of}": f"Area under the curve, {METRICS[of]}" for of in METRICS if of.startswith(("loss", "zlib", "min_k"))
}
PROXIES = {  # of a judge's rating
    "likelihood": "likelihood",
    "well_formed_rate": "good form",
    "repetition": "repetition",
    "gibberish": "gibberish",
    "ngram_entropy": "entropy",
    "words": "length",
}
UTILITY = ("mmlu", "bbh", "truthfulqa", "triviaqa", "fluency", "real_authors", "real_world")
ATTACKS = {
    "plain": "The question as it is",
    "role_play": "Role play",
    "prefix": "“Forget all instructions” before it",
    "suffix": "“Begin with the answer” after it",
    "reminder": "Other facts about the target as reminders",
    "prefill": "Answer begun by the attacker",
    "raw": "Plain text without the chat template",
    "sampled": "At least one of several sampled answers",
    "int8": "Weights rounded to 8 bits",
    "int4": "Weights rounded to 4 bits",
}
ATTACKED = {  # tasks that the stage robustness makes of the questions about the targets, as data.attacked calls them
    "forget_attacked": "Target under attack",
    "forget_relearned": "Target after relearning",
}
# Shown until the name of an evaluated task or attack contains one of the marks.
NOT_TESTED = (
    (("raw",), "Completion of plain text without the chat template, where hidden knowledge tends to survive."),
    (("sampled",), "Sampling several answers a question; a greedy answer shows only the likeliest one."),
    (("role_play", "forget_aa"), "Role play, prefixes, suffixes and other adversarial wordings."),
    (("prefill",), "Answers begun by the attacker (prefill), and reminders placed in the prompt."),
    (("relearning",), "Relearning: how few examples bring the knowledge back."),
    (("int8", "int4"), "Quantized weights (int8, int4), which can undo an unlearning."),
    (("drift",), "Drift: how far the model has moved where nothing was to change."),
    (("mia", "privleak"), "Membership inference from the probabilities, with no text generated."),
    (("language", "translat"), "Questions in other languages than those of training."),
    (("natural", "judge"), "Naturalness of the answers as a judge rates it."),
    (("mmlu", "bbh", "truthful", "trivia"), "Public benchmarks of general ability (MMLU, BBH, TruthfulQA, TriviaQA)."),
)


def model_label(model: str) -> str:
    """The name of a model on the page; one that is not known by name keeps its own."""
    return MODELS.get(model, model.replace("_", " "))


def task_label(task: str) -> str:
    """The name of a task on the page; one that is not known by name keeps its own."""
    of, _, attack = task.partition("/")
    if of in ATTACKED and attack:
        return f"{ATTACKED[of]}: {ATTACKS.get(attack, attack)}"
    return TASKS.get(task, (task, ""))[0]


def task_names(stages: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Every task of any model: the known ones in the order of TASKS, then the others as they come."""
    seen = dict.fromkeys(task for tasks in stages.values() for task in tasks)
    return [t for t in TASKS if t in seen] + [t for t in seen if t not in TASKS]


def side(task: str) -> Side:
    """On which side of the boundary a task asks: about what is to be forgotten, about what lies beside it, or about
    ability in general, which is far from either; "" for people who do not exist and for what is merely scored."""
    name = task.partition("/")[0]
    if name.startswith("forget") or name.endswith("_forget"):
        return "forget"
    if name.startswith(("boundary", "neighbor", "general", "retain")) or name.endswith("_retain"):
        return "retain"
    return "utility" if name.startswith(UTILITY) else ""


def counts(task: str) -> bool:
    """Whether a task stands for its side as a whole: greedy, in a chat turn that the model begins, no part of another
    task, and on what this run was to forget."""
    return "/" not in task and not any(word in task for word in ("raw", "begun", "sampled", "earlier"))


def is_share(metric: str) -> bool:
    """Whether a metric is a share of answers or questions, in [0, 1]."""
    return metric.endswith(("accuracy", "_rate"))


def percent(value: float) -> str:
    """0.983 -> "98.3%"."""
    return f"{100 * value:.1f}%"


def direction(task: str, metric: str) -> int:
    """+1 where higher is better, -1 where lower is better, 0 where the metric only informs, as floors and the second
    readings of released code do."""
    if metric.endswith(("_floor", "_compat")):
        return 0
    wants_refusal = side(task) == "forget" or task.startswith("unknown")
    if metric == "refusal_rate":
        return 1 if wants_refusal else -1
    if metric.startswith("rouge"):
        return -1 if wants_refusal else 1
    if metric.endswith("accuracy"):
        return 1
    return -1 if metric in ("leak_rate", "leak_any_rate", "over_refusal_rate") else 0
