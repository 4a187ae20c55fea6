"""The report: figures worked out by hand on a small synthetic workdir, and a page that is safe, whole and small."""

import json
import math
import re
from html.parser import HTMLParser

import pytest

from rule_jax.errors import UserError
from rule_jax.reporting import comparison_page, panels, plots
from rule_jax.reporting.data import collect, read_examples, read_training
from rule_jax.reporting.figures import wilson
from rule_jax.reporting.page import render, write
from rule_jax.reporting.vocabulary import direction, model_label
from tests.reporting.synthetic import MODELS, SCRIPT, TARGETS, edit, lines, make_run, spoil


@pytest.fixture
def workdir(tmp_path):
    return make_run(tmp_path)


class Page(HTMLParser):
    """The tags, their attributes and the visible text of a page; refuses tags that do not nest."""

    VOID = ("meta", "input", "path", "use", "br", "rect")

    def __init__(self, source):
        super().__init__()
        self.tags, self.text, self._open = [], [], []
        self.feed(source)
        self.close()
        assert not self._open, f"never closed: {self._open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self._open.pop() == tag, f"</{tag}> closes another tag at line {self.getpos()[0]}"

    def handle_data(self, data):
        if self._open and self._open[-1] not in ("script", "style"):
            self.text.append(data)


def test_metrics_json_holds_the_figures(workdir):
    page = write(workdir)
    assert page == workdir / "report" / "report.html"
    report = json.loads((workdir / "report" / "metrics.json").read_text())
    assert {"seed", "targets", "config", "confusion", "evaluation", "erasure", "versions"} < report.keys()
    assert report["targets"] == list(TARGETS)
    assert (report["schema"], report["seed"], report["peak_rss_bytes"]) == (1, 7, 2**30)
    assert report["time_s"] == {"rejection_steering": 2.5, "boundary_optimization": 50.0}
    assert list(report["stages"]) == list(MODELS)
    assert report["stages"]["rejection_steering"]["forget"]["refusal_rate"] == 6 / 8
    assert report["stages"]["rejection_steering"]["neighbor"] == {"accuracy": 0.5, "over_refusal_rate": 0.4, "n": 10}
    assert report["stages"]["base"]["forget"]["per_target"]["Bo Marsh"]["leak_rate"] == 0.75
    assert report["versions"]["jinja2"].startswith("3.")
    assert sorted(p.name for p in (workdir / "report").iterdir()) == ["audit.json", "metrics.json", "report.html"]


def test_models_are_ordered_base_then_stages_then_by_name(workdir):
    for name in ("npo", "ga"):
        (workdir / "evaluate" / name).mkdir()
        for file in ("metrics.json", "generations.jsonl"):
            (workdir / "evaluate" / name / file).write_text((workdir / "evaluate" / "base" / file).read_text())
    assert list(collect(workdir)["stages"]) == [*MODELS, "ga", "npo"]
    assert "the model after boundary optimization refuses" in write(workdir).read_text()  # not after a baseline


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), None])
def test_what_cannot_be_computed_is_null_and_never_zero(workdir, bad):
    def change(metrics):
        metrics["boundary"]["accuracy"] = bad
        metrics["unknown"] = {"refusal_rate": 0.0, "n": 0}
        metrics["bbh"] = {"all": None, "n": 0, "reasons": {"all": "no query fits"}}

    edit(workdir / "evaluate" / "boundary_optimization" / "metrics.json", change)
    page = write(workdir).read_text()
    stages = json.loads((workdir / "report" / "metrics.json").read_text())["stages"]
    assert stages["boundary_optimization"]["boundary"]["accuracy"] is None
    assert stages["boundary_optimization"]["unknown"] == {"refusal_rate": None, "n": 0}
    assert "Boundary entities: “Answers right” could not be computed." in page
    assert stages["boundary_optimization"]["bbh"] == {"all": None, "n": 0, "reasons": {"all": "no query fits"}}
    assert "BBH: “Every figure” could not be computed: no query fits." in page
    assert "not available" in page


def test_of_a_step_logged_twice_the_last_line_counts(workdir):
    training = read_training(workdir)
    assert [line["step"] for line in training] == [1, 2, 3, 1, 2, 3]
    assert [line["kl"] for line in training if "kl" in line] == [1.0, 9.0, 1.0]


def test_examples_join_the_models_and_tell_repeated_prompts_apart(workdir):
    for model in MODELS:
        path = workdir / "evaluate" / model / "generations.jsonl"
        row = {"task": "forget_sampled", "kind": "forget", "prompt": "Who?", "target": "", "entity": "", "answers": []}
        more = [json.dumps({**row, "text": f"{model} {i}", "judged": {}}) for i in (0, 1)]
        path.write_text(path.read_text() + "\n".join(more))
    examples = [e for e in read_examples(workdir, MODELS) if e["task"] == "forget_sampled"]
    texts = [[e["outputs"][m]["text"] for m in MODELS] for e in examples]
    assert texts == [[f"{m} {i}" for m in MODELS] for i in (0, 1)]


@pytest.mark.parametrize(
    "missing",
    [
        "config.json",
        "time.json",
        "logs/metrics.jsonl",
        "evaluate/base/metrics.json",
        "evaluate/rejection_steering/generations.jsonl",
    ],
)
def test_a_missing_input_is_named(workdir, missing):
    (workdir / missing).unlink()
    with pytest.raises(UserError, match=re.escape(missing)):
        write(workdir)
    assert not (workdir / "report").exists()


def test_broken_inputs_say_where(workdir):
    log = workdir / "logs" / "metrics.jsonl"
    good = log.read_text()
    log.write_text(good + '{"stage": "boun')
    with pytest.raises(UserError, match=r"metrics\.jsonl:8: not valid JSON"):
        write(workdir)
    log.write_text('{"step": 1}\n')
    with pytest.raises(UserError, match=r"metrics\.jsonl:1: 'stage' is missing \(has \['step'\]\)"):
        write(workdir)
    log.write_text("[1]\n")
    with pytest.raises(UserError, match="expected a JSON object, found list"):
        write(workdir)


@pytest.mark.parametrize(
    ("file", "content", "expected"),
    [
        ("time.json", {"time_s": {"evaluate": "long"}}, "time_s: found .*expected an object of seconds"),
        ("evaluate/base/metrics.json", {"forget": 1}, "forget: found 1, expected an object of figures"),
        ("evaluate/base/metrics.json", {"forget": {"n": -1}}, "n: found -1, expected a count"),
        (
            "evaluate/base/metrics.json",
            {"forget": {"leak_rate": "all"}},
            "forget: found .*expected an object of numbers",
        ),
        (
            "evaluate/base/generations.jsonl",
            {"task": "forget", "prompt": "?", "text": 3},
            "1, text: found 3, expected a",
        ),
        ("evaluate/base/generations.jsonl", {"task": "forget", "prompt": "?"}, ":1: 'text' is missing"),
    ],
)
def test_what_has_another_shape_is_told_with_its_place(workdir, file, content, expected):
    (workdir / file).write_text(json.dumps(content))
    with pytest.raises(UserError, match=f"{file}.*{expected}"):
        write(workdir)


def test_an_answer_may_hold_any_end_of_line(workdir):
    """JSON lines end at a newline alone; Python knows other ends of lines, which a model may write."""
    file = workdir / "evaluate" / "base" / "generations.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    rows[0]["text"] = "one\u2028two\u2029three\x85four"
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    assert read_examples(workdir, ["base"])[0]["outputs"]["base"]["text"] == rows[0]["text"]
    write(workdir)


def test_parts_that_the_benchmark_lacks_are_told_at_the_top(workdir):
    sentence = "because the benchmark’s folder lacks it"
    assert sentence not in write(workdir).read_text(encoding="utf-8")
    (workdir / "evaluate" / "notes.json").write_text(
        json.dumps({"missing": ["bbh", "triviaqa"], "scoring_padding": 0.1})
    )
    page = write(workdir).read_text(encoding="utf-8")
    assert f"{sentence}: bbh, triviaqa." in page[: page.index("</section>")]
    table = json.loads((workdir / "report" / "metrics.json").read_text(encoding="utf-8"))
    assert table["evaluation"] == {"missing": ["bbh", "triviaqa"], "too_long": {}, "scoring_padding": 0.1}


def test_what_the_model_cannot_take_is_counted_at_the_top(workdir):
    sentence = "Too long for the model’s positions"
    assert sentence not in write(workdir).read_text(encoding="utf-8")
    found = {"left_out": 12, "cut": 0, "of": 27, "limit": 256}
    notes = {"too_long": {"bbh": found, "forget_qa": {**found, "left_out": 1, "cut": 3, "of": 9}}}
    (workdir / "evaluate" / "notes.json").write_text(json.dumps(notes))
    page = write(workdir).read_text(encoding="utf-8")
    told = "BBH, 12 of 27 left out; Target: questions (RWKU QA), 1 of 9 left out, 3 cut at the beginning."
    assert f"{sentence}: {told}" in page[: page.index("</section>")]
    table = json.loads((workdir / "report" / "metrics.json").read_text(encoding="utf-8"))
    assert table["evaluation"] == {"missing": [], **notes}


def test_a_judge_s_ratings_stand_beside_what_agrees_with_them(workdir):
    rated = {"mean": 0.62, "n": 8, "unjudged": 0, "agreement": {"within_one": 0.75, "rank_correlation": 0.9}}
    told = {"n": 8, "perplexity_original": 12.34, "ratings": {"readability": rated}}
    told["agreement"] = {"likelihood": 0.5, "repetition": -0.25, "words": None}
    (workdir / "naturalness").mkdir()
    (workdir / "naturalness" / "base.json").write_text(json.dumps({"forget": told}))
    words = "".join(Page(write(workdir).read_text(encoding="utf-8")).text)
    assert "perplexity 12.3 under the original model (8 answers)" in words
    assert "readability 62.0% (its two runs within one point in 75.0% of 8)" in words
    assert "rank correlation of the rating with likelihood 0.50, repetition -0.25, length unknown." in words


def test_no_evaluated_model_is_an_error(workdir, tmp_path):
    (workdir / "evaluate").rename(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="no evaluated model"):
        write(workdir)


def test_generated_text_cannot_become_markup(workdir):
    source = write(workdir).read_text()
    page = Page(source)
    assert SCRIPT not in source
    assert "&lt;script&gt;" in source
    assert [tag for tag, _ in page.tags].count("script") == 1  # the page's own filter
    assert "Cy <b>Stone</b>" in "".join(page.text)


HOSTILE = "\"><img src=x onerror=alert(1)>$\\frac{$<script>alert(1)</script>'{{ 7 * 7 }}</svg></style>-->&lt;"


def shape(file):
    """The tags of a page with the names of their attributes, those of figures left out; the names of all tags."""
    source = file.read_text(encoding="utf-8")
    outside = Page(re.sub(r"<svg.*?</svg>", "", source, flags=re.DOTALL)).tags
    return [(tag, sorted(attributes)) for tag, attributes in outside], {tag for tag, _ in Page(source).tags}


@pytest.mark.parametrize("many", [False, True], ids=["one run", "a comparison"])
def test_whatever_names_answers_and_settings_hold_the_page_has_the_same_tags(tmp_path, many):
    shapes = []
    for number, mark in enumerate(("plain", HOSTILE)):
        runs = [make_run(tmp_path / str(number) / name, seed=seed) for seed, name in enumerate(("a", "b")[: 1 + many])]
        for run in runs:
            spoil(run, mark)
        page = comparison_page.write(runs, tmp_path / f"page{number}") if many else write(runs[0])
        shapes.append(shape(page))
        assert "alert(1)" in page.read_text() or mark == "plain"
        assert "49" not in Page(page.read_text()).text
    assert shapes[0] == shapes[1]


def test_the_page_needs_nothing_from_outside(workdir):
    source = write(workdir).read_text()
    assert "http://" not in source
    assert "https://" not in source
    assert "@import" not in source
    for tag, attributes in Page(source).tags:
        assert tag not in ("link", "iframe", "object", "img")
        assert attributes.get("href", "#").startswith("#")
        assert "src" not in attributes


def test_every_table_and_figure_has_a_name_and_ids_are_unique(workdir):
    page = Page(write(workdir).read_text())
    tags = [tag for tag, _ in page.tags]
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert tags.count("table") == tags.count("caption") >= 4
    assert tags.count("svg") == tags.count("figure") == tags.count("desc") >= 6
    assert all("scope" in attributes for tag, attributes in page.tags if tag == "th")
    for _, attributes in page.tags:
        for reference in ("aria-labelledby", "href"):
            for name in attributes.get(reference, "").replace("#", "").split():
                assert name in ids


def test_the_page_stays_small_with_many_long_answers(workdir):
    path = workdir / "evaluate"
    for model in MODELS:
        row = {"kind": "retain", "target": "", "entity": "Cy", "answers": ["x" * 900], "judged": {"accuracy": 0.0}}
        rows = [{"task": f"t{i % 10}", "prompt": f"{i} {'p' * 900}", "text": "<&" * 4000, **row} for i in range(3000)]
        lines(path / model / "generations.jsonl", rows)
    source = write(workdir).read_text()
    assert len(source.encode()) < 2_000_000
    assert Page(source).tags.count(("article", {"class": "example", "data-fault": "1"})) == 10 * 40


def test_the_worst_answers_come_first(workdir):
    report = collect(workdir)
    source = render(report, read_training(workdir), read_examples(workdir, MODELS))
    raw = source[source.index('data-task="forget_raw"') :]
    order = re.findall(r"forget_raw question (\d)", raw)
    assert order == ["0", "1", "2", "3"]  # leaks without refusing, then leaks while refusing and neither
    assert source == render(report, read_training(workdir), read_examples(workdir, MODELS))  # equal input, equal bytes


def test_the_verdict_speaks_in_numbers(workdir):
    text = re.sub(r"\s+", " ", "".join(Page(write(workdir).read_text()).text))
    assert "Refused in every chat test; other knowledge is damaged; raw completion still leaks." in text
    assert "Asked 8 times about the 2 targets (“Target: questions”, held-out phrasings), the model" in text
    assert "refuses 100.0% (95% interval 67.6–100.0%) and leaks a true answer in 0.0%" in text
    assert "keeps 75.0% on boundary entities, 100.0% on neighbours." in text
    assert "Target: raw completion: the true answer still appears in 75.0% of 4 (base 100.0%)." in text
    assert "The headline rests on 8 answers" in text


@pytest.mark.parametrize("value", [0.0, 0.25])
def test_what_only_informs_and_is_0_throughout_has_no_row(workdir, value):
    for model in MODELS:
        path = workdir / "evaluate" / model / "metrics.json"
        tasks = json.loads(path.read_text())
        tasks["forget"] |= {"empty_rate": value if model == MODELS[2] else 0.0, "leak_rate": 0.0}
        path.write_text(json.dumps(tasks))
    data = collect(workdir)
    page = render(data, read_training(workdir), read_examples(workdir, list(MODELS)))
    assert ("Says nothing" in page) == (value > 0)
    assert "Leaks the true answer" in page  # it has a better side: its 0 is a result
    assert data["stages"][MODELS[2]]["forget"]["empty_rate"] == value


def test_a_base_model_alone_gets_no_verdict(workdir):
    for model in MODELS[1:]:
        for file in (workdir / "evaluate" / model).iterdir():
            file.unlink()
        (workdir / "evaluate" / model).rmdir()
    (workdir / "logs" / "metrics.jsonl").write_text("")
    source = write(workdir).read_text()
    assert "No verdict" in source
    assert 'id="training"' not in source


def test_wilson_interval_by_hand():
    # p = 0.5, n = 4, z^2 = 3.841458: centre (0.5 + 0.480182) / 1.960365 = 0.5; half 1.959964 * 0.350036 / 1.960365
    low, high = wilson(0.5, 4) or (0.0, 0.0)
    assert low == pytest.approx(0.150036, abs=1e-5)
    assert high == pytest.approx(0.849964, abs=1e-5)
    assert wilson(0.0, 10) == pytest.approx((0.0, 0.277533), abs=1e-5)  # z^2 / (n + z^2)
    assert wilson(None, 10) is wilson(0.5, 0) is None


@pytest.mark.parametrize(
    ("task", "metric", "side"),
    [
        ("forget", "refusal_rate", 1),
        ("unknown", "refusal_rate", 1),
        ("neighbor", "refusal_rate", -1),
        ("forget_fb", "rouge_l_recall", -1),
        ("forget_fb", "rouge_l_recall_floor", 0),
        ("neighbor_fb", "rouge_l_recall_compat", 0),
        ("neighbor_fb", "rouge_l_recall", 1),
        ("forget", "leak_rate", -1),
        ("general", "accuracy", 1),
        ("forget", "names_target_rate", 0),
    ],
)
def test_the_better_side_depends_on_the_task(task, metric, side):
    assert direction(task, metric) == side


def test_training_panels_draw_what_was_logged_and_no_more():
    records = [{"step": 1, "kl": 0.5, "loss": math.nan}, {"step": 2, "kl": 0.25, "reward/forget": "n/a"}]
    found = panels.training_panels("boundary_optimization", records)
    assert [panel["caption"] for panel in found] == ["Distance to the reference model"]
    assert "KL: 0.5 at step 1, 0.25 at step 2" in found[0]["svg"]


def test_long_curves_are_thinned_to_means():
    points = [(step, float(step % 2)) for step in range(6000)]
    svg = plots.lines("long", "Loss", "loss", {"loss": points})
    assert len(svg) < 30_000


def test_warnings_and_validation_are_on_the_page(workdir):
    """The alarms follow from the log alone; validation before training is step 0."""
    rows = [{"stage": MODELS[2], "step": step, "kl": 9.0} for step in range(1, 8)]
    rows += [{"stage": MODELS[2], "step": step, "validation/score": 0.1 * step} for step in (0, 3, 6)]
    lines(workdir / "logs" / "metrics.jsonl", rows)
    training = read_training(workdir)
    assert [line["step"] for line in training] == list(range(8))
    assert training[3] == {"stage": MODELS[2], "step": 3, "kl": 9.0, "validation/score": pytest.approx(0.3)}
    source = write(workdir).read_text()
    assert "<li>Step 5, KL runs away: the policy is 9.0 nats a token from its reference." in source
    assert "score: 0 at step 0, 0.6 at step 6" in source
    lines(workdir / "logs" / "metrics.jsonl", [{**row, "kl": 0.5} for row in rows])
    assert "Warnings of the run" not in write(workdir).read_text()


def test_attacks_relearning_and_drift_are_on_the_page(workdir):
    source = write(workdir).read_text()
    assert 'id="robustness"' not in source
    assert "Answers begun by the attacker (prefill)" in source[source.index('id="untested"') :]
    row = {"leak_rate": 0.0, "refusal_rate": 1.0, "n": 40}
    curve = [{"step": s, "leak_rate": leak, "refusal_rate": 0.0, "n": 30} for s, leak in ((0, 0.1), (20, 0.6))]
    of_base = {"attacks": {"prefill": {**row, "leak_rate": 0.9}}, "relearning": {}, "drift": None}
    of_final = {
        "attacks": {
            "prefill": {**row, "leak_rate": 0.25},
            "sampled": {**row, "leak_any_rate": 0.5, "leak_at": {"1": 0.1, "2": 0.3, "4": 0.5}},
            "int4": {**row, "kept_accuracy": 0.5, "kept_n": 20},
        },
        "relearning": {"4 facts": curve},
        "drift": {"kl": 0.0123, "low": 0.01, "high": 0.02, "n": 50, "tokens": 200},
    }
    for model, table in (("base", of_base), (MODELS[2], of_final)):
        (workdir / "robustness" / model).mkdir(parents=True)
        (workdir / "robustness" / model / "metrics.json").write_text(json.dumps(table))
    source = write(workdir).read_text()
    text = re.sub(r"\s+", " ", "".join(Page(source).text))
    assert "Attack “Answer begun by the attacker”: the true answer appears in 25.0% of 40 (base 90.0%)." in text
    assert "Attack “At least one of several sampled answers”: the true answer appears in 50.0% of 40." in text
    assert "Relearning on 4 facts: 20 updates bring leaks" in text
    assert "from 10.0% to 60.0%" in text
    assert "KL to the base model 0.0123 nats a token (95% interval 0.0100–0.0200) over 50 of its answers" in text
    assert "4 facts: 0.1 at step 0, 0.6 at step 20" in source
    assert f"{model_label(MODELS[2])}: 0.1 at answers 1, 0.5 at answers 4" in source
    untested = source[source.index('id="untested"') :]
    assert "Quantized weights" not in untested
    assert "Relearning: how few" not in untested
    assert "Drift: how far" not in untested
    assert json.loads((workdir / "report" / "metrics.json").read_text())["robustness"][MODELS[2]] == of_final


def test_a_model_evaluated_alone_is_described_and_not_judged(workdir):
    for model in MODELS[:2]:
        for file in (workdir / "evaluate" / model).iterdir():
            file.unlink()
        (workdir / "evaluate" / model).rmdir()
    (workdir / "evaluate" / MODELS[2]).rename(workdir / "evaluate" / "model")
    (workdir / "logs" / "metrics.jsonl").unlink()
    edit(workdir / "config.json", lambda config: config.update(stages=["evaluate", "report"]))
    text = re.sub(r"\s+", " ", "".join(Page(write(workdir).read_text()).text))
    assert "No verdict. Asked 8 questions about what is to be forgotten, the model refuses 100.0%" in text
    assert "it answers rightly 75.0% on boundary entities, 100.0% on neighbours. Without the model before" in text


def test_data_and_models_stand_with_their_hashes(workdir):
    (workdir / "data").mkdir()
    (workdir / "data" / "forget.jsonl").write_text("{}\n{}\n")
    (workdir / "export").mkdir()
    (workdir / "export" / "model.safetensors").write_bytes(b"after")
    edit(
        workdir / "time.json",
        lambda t: t.update(devices={"count": 2, "kind": "TPU v5e", "platform": "tpu", "hosts": 1, "cores": 8}),
    )
    text = re.sub(r"\s+", " ", "".join(Page(write(workdir).read_text()).text))
    assert "Data: forget2 records" in text
    assert "Model after: model.safetensorsf39592393ef0859c" in text
    assert "2 TPU v5e devices (tpu) on 1 host of 8 cores: 105 device-seconds." in text
