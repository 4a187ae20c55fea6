"""Categories about RWKU's target folders."""

import hashlib
import json

from rule_jax.benchmarks import rwku
from rule_jax.metrics import choices
from rule_jax.text import exact_match, overlap_compat
from tests.golden_checks.common import folder, mean, near, need

KING = "1_Stephen_King"


def rows_of(target, file):
    return json.loads((folder("rwku") / target / f"{file}.json").read_text(encoding="utf-8"))


def rwku_prompts_1_Stephen_King(cases):
    path = str(folder("rwku") / KING)
    tasks, scoring = ({task.name: task for task in made(path, seed=0, data={})} for made in (rwku.tasks, rwku.scoring))
    probes = {f"<|U|>{record.prompt}<|A|>{task.prefill}" for task in tasks.values() for record in task.records}
    for case in cases:
        if case["kind"] in ("mmlu", "truthfulqa"):
            task = scoring["mmlu" if case["kind"] == "mmlu" else "truthfulqa_mc1"]
            prompt = f"<|U|>{task.queries[case['index']].prompt}<|A|>{task.prefill}"
        else:
            (prompt,) = [probe for probe in probes if probe == case["prompt"]] or [""]
        assert case["prompt"] in (prompt, None), case["kind"]
        assert prompt.startswith(case["head"])
        assert prompt.endswith(case["tail"])
        assert len(prompt) == case["length"]
        assert hashlib.sha256(prompt.encode()).hexdigest() == case["sha256"]
        if case["generation"]:
            assert {case["generation"]["max_new_tokens"]} == {
                task.max_new_tokens for name, task in tasks.items() if name not in ("bbh", "fluency")
            }
            assert case["generation"]["do_sample"] is any(task.temperature > 0 for task in tasks.values())


def recall_of(target, file, text):
    return mean(overlap_compat.rouge_l_recall(text, [row["answer"]]) for row in rows_of(target, file))


def rwku_constant_prediction_1_Stephen_King(cases):
    text = "Carrie"
    for case in cases:
        near([recall_of(KING, f"forget_level{level}", text) for level in (1, 2, 3)], case["forget"])
        near([recall_of(KING, f"neighbor_level{level}", text) for level in (1, 2)], case["neighbor"])
        asked = rows_of(KING, "triviaqa")
        near(mean(exact_match.exact_match(text, row["answers"]) for row in asked), case["triviaqa_em"])
        near(mean(exact_match.word_f1(text, row["answers"]) for row in asked), case["triviaqa_f1"])
        bbh = rows_of(KING, "retain_bbh")
        near(mean(exact_match.exact_match_compat(text, row["answer"]) for row in bbh), case["bbh_em"])
        mmlu = rows_of(KING, "retain_mmlu")
        near(mean(choices.picks([0.0] * 4, row["answer"]) for row in mmlu), case["mmlu_acc"])
        mc1, mc2 = [], []
        for row in rows_of(KING, "truthful"):  # scores are minus the position, true choices first
            by_label = sorted(zip(*row["mc2_targets"].values()), key=lambda pair: -pair[1])
            scores = {choice: -float(at) for at, (choice, _) in enumerate(by_label)}
            mc2.append(choices.mc2(list(scores.values()), [label for _, label in by_label]))
            one = row["mc1_targets"]
            mc1.append(choices.mc1([scores[choice] for choice in one["choices"]], one["labels"]))
        near(mean(mc1), case["truthfulqa_mc1"])
        near(mean(mc2), case["truthfulqa_mc2"])


def rwku_bbh_em_real_1_Stephen_King(cases):
    answers = [row["answer"] for row in rows_of(KING, "retain_bbh")]
    for case in cases:
        constant = case["prediction"].removeprefix("constant ")
        said = answers if case["prediction"] == "gold answers" else [constant] * len(answers)
        near(mean(map(exact_match.exact_match_compat, said, answers)), case["em_as_released"])
        near(mean(exact_match.exact_match(s, [a]) for s, a in zip(said, answers)), case["em_fixed"])


def rwku_refusal_floor(cases):
    checked = 0
    for case in cases:
        target = case["target"]
        if not (folder("rwku") / target).is_dir():
            continue
        levels = [f"forget_level{level}" for level in (1, 2, 3)]
        assert [len(rows_of(target, level)) for level in levels] == case["n_forget"]
        refusals = json.loads((folder("rwku") / target / "idk_target.json").read_text(encoding="utf-8"))
        assert len(refusals) == 100
        stated = case["rouge_recall_if_every_answer_is_a_target_naming_refusal_mean_of_100_templates"]
        assert [round(mean(recall_of(target, lv, text) for text in refusals), 3) for lv in levels] == stated
        generic = [recall_of(target, level, case["rouge_recall_if_every_answer_is"]) for level in levels]
        near(generic, case["generic_floor"])
        named = rows_of(target, "intro")[0]["target"]
        leaking = sum(row["answer"] == named for row in rows_of(target, "forget_level3"))
        assert leaking == case["adversarial_probes_whose_gold_answer_is_the_target_name"]
        checked += 1
    need(checked, 1)
