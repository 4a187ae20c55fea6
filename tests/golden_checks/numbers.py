"""Categories about log-probabilities and other numbers."""

import numpy as np
import pytest

from rule_jax.metrics import choices, membership, memorization, pareto
from tests.golden_checks.common import golden, mean, near


def rwku_truthfulqa(cases):
    true = {"labels_mc1": "a", "labels_mc2": "ad"}  # which choices the file's notes call true
    for case in cases:
        sums = case["logprob_sums"].values()

        def labels(which, scores):
            return [int(choice in true[which]) for choice in scores]

        near(mean(choices.mc2(list(s.values()), labels("labels_mc2", s)) for s in sums), case["MC2"])
        asked = [{c: v for c, v in s.items() if c != "d"} for s in sums]  # MC1 has the choices a, b, c
        near(mean(choices.mc1(list(s.values()), labels("labels_mc1", s)) for s in asked), case["MC1"])


def token_statistics(case):
    """(log-probability, mean and deviation of log-probability) of each token but the first."""
    logits = np.asarray(case["logits"][:-1], np.float64)
    logp = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    own = logp[np.arange(len(logp)), case["input_ids"][1:]]
    average = (np.exp(logp) * logp).sum(axis=1)
    return own, average, np.sqrt((np.exp(logp) * logp**2).sum(axis=1) - average**2)


def rwku_mia(cases):
    for case in cases:
        own, average, deviation = token_statistics(case)
        near(own, case["token_logprobs"])
        near(membership.loss(own), case["loss"])
        near(membership.zlib_ratio(own, case["text"]), case["zlib"])
        near({k: membership.min_k_compat(own, float(k)) for k in case["mink"]}, case["mink"])
        plus = membership.standardized(own, average, deviation)
        near({k: membership.min_k_compat(plus, float(k)) for k in case["minkpp"]}, case["minkpp"])
        near(membership.min_k(plus, 0.2), case["reported_mink20_field"])


def muse_mia(cases):
    for case in cases:
        own, _, _ = token_statistics(golden()["rwku_mia"][0])
        loss = -membership.loss(own)
        found = {"PPL": loss, "PPL/lower": loss / loss, "PPL/zlib": -membership.zlib_ratio(own, case["text"])}
        for name in case["scores"]:
            if name.startswith("Min-"):
                found[name] = -membership.min_k_compat(own, int(name[4:-1]) / 100)
        near(found, case["scores"])


def open_unlearning_mink(cases):
    own, average, deviation = token_statistics(golden()["rwku_mia"][0])
    for case in cases:
        near(-membership.min_k(own, case["k"]), case["min_k"])
        near(-membership.min_k(membership.standardized(own, average, deviation), case["k"]), case["min_k_plus_plus"])


def muse_auc(cases):
    for case in cases:
        own, other = -np.asarray(case["scores_split1_label1"]), -np.asarray(case["scores_split0_label0"])
        near(membership.auc(own, other), case["auc"])
        near(membership.best_accuracy(own, other), case["best_acc"])
        if "privleak" in case:
            near(membership.privleak(case["auc"], case["auc_retrain_books_min40"]), case["privleak"])


def privleak(cases):
    for case in cases:  # this convention's AUC is that of the forget set, one minus the one in MUSE's
        found = membership.privleak(1 - case["auc_forget_vs_holdout"], 1 - case["auc_retrain"])
        near(found, case["privleak"])
        near(membership.privleak(case["auc_forget_vs_holdout"], case["auc_retrain"]), case["rel_diff"])


def open_unlearning_em_es(cases):
    for case in cases:
        scored = [at for at, label in enumerate(case["labels"]) if label != -100][:-1]  # the last is dropped as an EOS
        right = [at - 1 in case["positions_predicted_right"] for at in scored]
        near(memorization.exact_memorization(right), case["exact_memorization"])
        near(memorization.extraction_strength_compat(right), case["extraction_strength"])
        if right[-1]:
            near(memorization.extraction_strength(right), case["extraction_strength"])


def pareto_auc_reconstructed(cases):
    for case in cases:
        forget, retain = zip(*case["points_read_off_figure"])
        found = pareto.trapezoid_auc(forget, retain, retain_at_least=case["retain_at_least"])
        digits = len(str(case["trapezoid"]).partition(".")[2])
        assert round(found, digits) == case["trapezoid"]
        assert found == pytest.approx(case["printed_in_figure"], abs=2e-3)
