"""Categories about strings, and the reward of the released code."""

import pytest

from rule_jax.rewards import released
from rule_jax.text import exact_match, fluency, overlap, overlap_compat, refusal_compat
from rule_jax.types import Answer, PromptRecord
from tests.golden_checks.common import mean, near


def rwku_rouge_l(cases):
    for case in cases:
        if "error" in case:
            with pytest.raises(ValueError) as raised:
                overlap_compat.rouge_l(case["prediction"], case["reference"])
            assert f"ValueError: {raised.value}" == case["error"]
        else:
            found = overlap_compat.rouge_l(case["prediction"], case["reference"])
            near([found.recall, found.precision, found.f1], [case["r"], case["p"], case["f"]])


def rwku_rouge_l_corpus(cases):
    for case in cases:
        found = [overlap_compat.rouge_l(p, r) for p, r in zip(case["predictions"], case["references"])]
        averages = {"r": mean(f.recall for f in found), "p": mean(f.precision for f in found)}
        near({**averages, "f": mean(f.f1 for f in found)}, case["avg"])


def google_rouge(cases):
    for case in cases:
        pair = case["prediction"], case["reference"]
        found = {
            "muse_rougeL_f1": overlap.rouge_l(*pair).f1,
            "muse_rougeL_recall": overlap.rouge_l(*pair).recall,
            "muse_rouge1_f1": overlap.rouge_1(*pair).f1,
            "stem_rougeL_f1": overlap.rouge_l(*pair, stem=True).f1,
            "tofu_rougeL_recall": overlap.rouge_l(*pair, stem=True).recall,
            "tofu_rouge1_recall": overlap.rouge_1(*pair, stem=True).recall,
        }
        near(found, {key: value for key, value in case.items() if key not in ("prediction", "reference")})


def rwku_fluency_ngram_entropy(cases):
    for case in cases:
        if "texts" in case:
            near(mean(map(fluency.fluency, case["texts"])), case["mean_entropy"])
            continue
        near(fluency.fluency(case["text"]), case["entropy"])
        if "tokens" in case:
            assert fluency.tokens(case["text"]) == case["tokens"]


def rwku_triviaqa(cases):
    for case in cases:
        near(exact_match.exact_match(case["prediction"], case["answers"]), case["em"])
        near(exact_match.word_f1(case["prediction"], case["answers"]), case["f1"])


def rwku_bbh_em_as_released(cases):
    for case in cases:
        pair = case["prediction"], case["answer"]
        assert exact_match.exact_match_compat(*pair) == case["em_reference_iterates_characters"]
        assert exact_match.exact_match(pair[0], [pair[1]]) == case["em_answer_in_list"]


def rwku_bbh_extract(cases):
    for case in cases:
        assert exact_match.final_answer_compat(case["output"]) == case["extracted"]


def rule_refusal_regex(cases):
    assert [case for case in cases if refusal_compat.is_refusal(case["text"]) is not case["refusal"]] == []


def rule_reward(cases):
    for case in cases:
        tag, refusal, target = case["solution"]
        assert tag == "<reject>"
        record, text = PromptRecord("Who?", "forget", target=target), case["completion"]
        refused = float(refusal_compat.is_refusal(text))
        for name in ("forget_reward", "forget_reward_abs"):  # on this branch the refusal is all that counts
            near(refused, case[name]["overall"])
        for variant in released.VARIANTS:
            (score,) = released.make(variant=variant)([record], [Answer(text)])
            near(score.total, case[variant]["overall"])
        (score,) = released.make(variant="reject_behave_reward")([record], [Answer(text)])
        near(score.parts["refusal"], case["reject_behave_reward"]["reject_reward"])
        near(score.parts["names_target"], case["reject_behave_reward"]["behave_reward"])
        recalls = [released.overlap(text, [reference]) for reference in (refusal, target)]
        near(mean(recalls), case["forget_reward_two_stage_abs"]["rouge_l"])
        for variant in ("forget_reward_two_stage_abs_target", "forget_reward_two_stage_abs_target_half_reject"):
            near(recalls[0], case[variant]["rouge_l"])
        near(0.0, case["forget_reward"]["rouge_l"])  # not computed on this branch
