"""Categories about TOFU. Logs that are not beside the file are checked by what the stated figures imply."""

import json
import math
from fractions import Fraction

import numpy as np

from rule_jax.metrics import truth
from tests.golden_checks.common import folder, mean, near, need


def open_unlearning_truth_ratio(cases):
    for case in cases:
        ratio = truth.truth_ratio(case["correct_avg_loss"], case["wrong_avg_loss"], "mean_loss")
        per_index, total = {
            "closer_to_1_better": (ratio, truth.closer_to_one(ratio)),
            "true_better": (ratio, truth.below_one(ratio)),
            "prob_mean": (truth.share_of_right(ratio), mean(truth.share_of_right(ratio))),
        }[case["aggregator"]]
        near(per_index, case["per_index"])
        near(total, case["agg"])


def open_unlearning_prob_w_options(cases):
    for case in cases:
        shares = truth.share_of_options(case["correct_avg_loss"], case["wrong_avg_loss"])
        near(shares, case["per_index"])
        near(mean(shares), case["agg"])


def ks_forget_quality(cases):
    for case in cases:
        near(truth.ks(case["forget"], case["retain"]).pvalue, case["pvalue"])


def hm_aggregate(cases):
    for case in cases:
        near(truth.harmonic_mean(case["values"]), case["hmean"])


TOFU_FILES = {
    "real_authors": "eval_real_author_wo_options.json",
    "real_world": "eval_real_world_wo_options.json",
    "retain": "eval_log.json",
    "forget": "eval_log_forget.json",
}
TOFU_SETS = {"Real Authors": "real_authors", "Real World": "real_world", "Retain": "retain", "Forget": "forget"}
# (formula, how the source spells a figure of a set)
TOFU_SOURCES = {
    "aggregate_eval_stat": (
        "mean_loss",
        {"rouge": "ROUGE {}", "probability": "Prob. {}", "truth_ratio": "Truth Ratio {}"},
    ),
    "utils_py": (
        "mean_probability",
        {"rouge": "{} ROUGE", "probability": "{} Probability", "truth_ratio": "{} Truth Ratio"},
    ),
}


def tofu_losses(log):
    columns = ("avg_gt_loss", "avg_paraphrased_loss", "average_perturb_loss", "rougeL_recall")
    return {
        name: truth.Losses(*(np.asarray(list(log[file][column].values())) for column in columns))
        for name, file in TOFU_FILES.items()
    }


def tofu_log(log_dir):
    """A log of the data folder by its name in the file ("ft_epoch5_lr1e-05_llama2-7b_full_wd0.01"), None if absent."""
    _, _, _, model, kind, _ = log_dir.split("_")
    file = folder("tofu_logs") / f"{model}_{kind}.json"
    return tofu_losses(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else None


def check_tofu(sets, source, stated):
    formula, spelt = TOFU_SOURCES[source]
    found = {
        name.format(title): truth.figures(of, sets[of], formula)[part]
        for title, of in TOFU_SETS.items()
        for part, name in spelt.items()
    }
    near({**found, "Model Utility": truth.model_utility(sets, formula)}, stated)


def tofu_small(cases):
    for case in cases:
        for source in TOFU_SOURCES:
            check_tofu(tofu_losses(case["input"]), source, case[source])


def tofu_model_utility_real_logs(cases):
    checked = 0
    for case in cases:
        sets = tofu_log(case["log_dir"])
        for source in TOFU_SOURCES:
            parts = [v for name, v in case[source].items() if "Forget" not in name and name != "Model Utility"]
            assert len(parts) == 9
            near(truth.harmonic_mean(parts), case[source]["Model Utility"])
            if sets is not None:
                check_tofu(sets, source, case[source])
                checked += 1
    need(checked, 4)


def samples_with(statistic, sizes):
    """Two samples without ties of these sizes whose distribution functions are `statistic` apart at most."""
    n, m = sizes
    gap = Fraction(statistic).limit_denominator(n * m)
    top = next((a, b) for b in range(m + 1) for a in [(gap + Fraction(b, m)) * n] if a.denominator == 1 and a <= n)
    place, rank = [0, 0], ([], [])
    for value in range(n + m):
        goal = top if any(p < t for p, t in zip(place, top)) else (n, m)
        left = [g - p for g, p in zip(goal, place)]
        first = place[0] / n - place[1] / m  # the gap so far: stay within [0, gap] on the way to the top and back
        take = 0 if left[1] == 0 or (left[0] and first + 1 / n <= float(gap) + 1e-12 and goal != (n, m)) else 1
        if goal == (n, m):
            take = 1 if left[0] == 0 or (left[1] and first - 1 / m >= -1e-12) else 0
        place[take] += 1
        rank[take].append(float(value))
    return rank


def tofu_forget_quality_real_logs(cases):
    checked = 0
    for case in cases:
        unlearned, retrained = tofu_log(case["unlearn_log"]), tofu_log(case["retain_log"])
        if unlearned and retrained:
            found = truth.forget_quality(unlearned["forget"], retrained["forget"])
            checked += 1
        else:  # the p-value depends on sizes and statistic alone
            found = truth.ks(*samples_with(case["KS Test Forget"], (case["n_unlearn"], case["n_retain"])))
        assert math.isclose(found.pvalue, case["Forget Quality"], rel_tol=1e-6)  # they are far below 1e-6
        near(case["Forget Quality"], case["KS Test PVal Forget"])
        near(found.statistic, case["KS Test Forget"])
    need(checked, 1)
