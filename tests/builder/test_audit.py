"""Each check finds its fault and nothing else; on real training files it finds what is known to be wrong with them."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from rule_jax.benchmarks import rwku as benchmark
from rule_jax.builder import Opinion, audit_report
from rule_jax.builder.audit import CHECKS, Case, audit, fitting, mend, repair
from rule_jax.data import muse, rwku
from rule_jax.errors import UserError
from rule_jax.types import PromptRecord, SftExample, UnlearningData

TARGET = "Ina Volk"
DROP = dict.fromkeys(CHECKS, "drop")


def forget(prompt: str, **fields) -> PromptRecord:
    return PromptRecord(prompt, "forget", TARGET, TARGET, **{"source": f"test:{prompt}", **fields})


def boundary(prompt: str, *answers: str, entity: str = "Tom Reed") -> PromptRecord:
    return PromptRecord(prompt, "boundary", "", entity, answers or ("The Salt Road",), f"test:{prompt}")


SOUND = UnlearningData(
    targets=(TARGET,),
    rejection=(SftExample("Where was Ina Volk born?", "I know nothing about Ina Volk."),),
    forget=(forget("Where was Ina Volk born?"), forget("Ina Volk was born in the town of ___.")),
    boundary=(
        boundary("Where was Tom Reed born?", "Oxmere"),
        boundary("Which novel did Tom Reed publish in 1974?", "The Salt Road"),
        boundary("Which novel did Tom Reed publish in 1977?", "The Long Field"),
    ),
)


def with_boundary(*records: PromptRecord) -> UnlearningData:
    return replace(SOUND, boundary=(*SOUND.boundary, *records))


def with_forget(*records: PromptRecord) -> UnlearningData:
    return replace(SOUND, forget=(*SOUND.forget, *records))


def with_rejection(response: str) -> UnlearningData:
    return replace(SOUND, rejection=(*SOUND.rejection, SftExample("When was Ina Volk born?", response)))


# check -> a case in which the last row of a part is at fault, and by no other check
FAULTS = {
    "refusal_answer": Case(with_boundary(boundary("Who is the sister of Tom Reed?", "I don't know."))),
    "correcting_answer": Case(with_boundary(boundary("Who is the sister of Tom Reed?", "He has no known sister."))),
    "dominant_answer": Case(
        with_boundary(
            boundary("Who drew the maps of Tom Reed?", "Oxmere"), boundary("Where does Tom Reed teach?", "Oxmere")
        )
    ),
    "duplicate": Case(with_boundary(boundary("Where was  Tom Reed born", "the Oxmere"))),
    "near_duplicate": Case(with_boundary(boundary("Which novel did Tom Reed publish back in 1974?"))),
    "contradiction": Case(
        replace(
            SOUND,
            forget=(*SOUND.forget, forget("Who kept the lamp at Salt Point?", source="a#indirect")),
            boundary=(*SOUND.boundary, boundary("Who kept the lamp at Salt Point?", "Tom Reed")),
        )
    ),
    "false_premise": Case(
        with_boundary(boundary("Who is the wife of Tom Reed?", "Ada")),
        opinions=[*[Opinion(True)] * 3, Opinion(False, "no wife")],
    ),
    "names_target": Case(with_boundary(boundary("Did Tom Reed meet Volk in Oxmere?", "In 1980"))),
    "target_as_answer": Case(with_boundary(boundary("Who taught Tom Reed?", "I. M. Volk")), aliases=["I. M. Volk"]),
    "unfit_entity": Case(
        with_boundary(boundary("Where does Ada Lin live?", "Salt", entity="Ada Lin")), unfit={"Ada Lin": "her sister"}
    ),
    "benchmark_entity": Case(
        with_boundary(boundary("Who wrote the film The Long Night?", "Ada Lin", entity="")),
        reserved=frozenset({"The Long Night (film)", "It (film)"}),
    ),
    "benchmark_probe": Case(
        with_forget(forget("Which prize did Ina Volk win in 1970?")),
        probes=[PromptRecord("Answer.\nQuestion: Which prize did Ina Volk win in 1970?\n", "forget", TARGET)],
    ),
    "unnamed_target": Case(with_forget(forget("Who wrote the novel The Cold Sea?"))),
    "language": Case(with_boundary(boundary("¿En qué año se publicó la novela de Tom Reed?", "1974"))),
    "length": Case(with_boundary(boundary("Tom Reed?", "A novelist"))),
    "cut_prompt": Case(with_boundary(boundary("What is the name of the river between Oxmere and", "The Salt"))),
    "markup": Case(with_boundary(boundary("Who is the brother of Tom Reed?", "Sam <|im_end|>"))),
    "no_refusal": Case(with_rejection("Ina Volk was born in 1950.")),
    "unnamed_refusal": Case(with_rejection("I don't know.")),
}


def test_a_sound_set_has_no_findings():
    assert audit(Case(SOUND)) == []
    assert repair(SOUND, [], DROP) == SOUND


def test_every_check_has_a_fault_here():
    assert FAULTS.keys() == CHECKS.keys()


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_by_its_check_alone_and_dropped(name):
    case = FAULTS[name]
    findings = audit(case)
    assert [finding.check for finding in findings] == [name]
    (finding,) = findings
    part = getattr(case.data, finding.part)
    assert finding.row == len(part) - 1
    kept = repair(case.data, findings, DROP)
    assert getattr(kept, finding.part) == part[:-1]
    assert audit(replace(case, data=kept, opinions=case.opinions[:-1])) == []
    assert repair(case.data, findings, {**DROP, name: "report"}) == case.data
    with pytest.raises(UserError, match=f"refuses the set \\({name} 1\\)"):
        repair(case.data, findings, {**DROP, name: "refuse"})


def test_only_the_reference_at_fault_goes_where_others_stay():
    data = with_boundary(
        boundary("Who is the sister of Tom Reed?", "I can't say.", "Ada Reed", "He has no known sister.")
    )
    kept = repair(data, audit(Case(data)), DROP)
    assert kept.boundary[-1].answers == ("Ada Reed",)


def test_a_query_marked_as_indirect_need_not_name_the_target():
    data = with_forget(forget("Who wrote the novel The Cold Sea?", source="x/question3#indirect"))
    assert audit(Case(data)) == []


def test_shares_count_over_the_whole_boundary():
    records = [
        boundary(f"Which town number {n} did Tom Reed visit?", "Oxmere" if n < 8 else f"Town {n}") for n in range(97)
    ]
    found = audit(Case(with_boundary(*records)))
    assert {finding.check for finding in found} == {"dominant_answer"}
    assert len(found) == 9 - 5  # one more is in SOUND; 5 of 100 are allowed
    assert "'Oxmere' answers 9 of 100 rows; 5 are allowed" in found[0].reason
    assert audit(Case(with_boundary(*records), max_answer_share=0.09)) == []


@pytest.mark.parametrize(
    ("actions", "expected"),
    [
        ({**DROP, "duplicates": "drop"}, "has 'duplicates'.*Did you mean 'duplicate'"),
        ({**DROP, "length": "keep"}, "length='keep': it must be drop, report, refuse"),
        ({name: "drop" for name in CHECKS if name != "length"}, "length=None"),
    ],
)
def test_actions_that_make_no_sense(actions, expected):
    with pytest.raises(UserError, match=expected):
        repair(SOUND, [], actions)


@pytest.mark.parametrize("change", [{"max_answer_share": 0}, {"similarity": 1.5}, {"language": "fr"}])
def test_settings_that_make_no_sense(change):
    with pytest.raises(UserError, match=r"config\.audit"):
        audit(Case(SOUND, **change))


def test_the_report_counts_and_shows_examples():
    case = FAULTS["markup"]
    findings = audit(case)
    report = audit_report.summary(case.data, findings, DROP, repair(case.data, findings, DROP))
    assert report["rows"] == {"forget": 2, "boundary": 4, "rejection": 1}
    assert report["rows_kept"]["boundary"] == 3
    assert report["checks"]["markup"]["rows"] == {"forget": 0, "boundary": 1, "rejection": 0}
    assert report["checks"]["markup"]["examples"][0]["answers"] == ["Sam <|im_end|>"]
    page = audit_report.markdown(report)
    assert "| markup | 0 | 1 | 0 | drop |" in page
    assert "## markup" in page
    assert "## length" not in page
    assert "&lt;|" not in page.split("## markup")[0]


def test_no_query_is_dropped_for_not_naming_a_corpus():
    asked = with_forget(forget("Who wrote the novel The Cold Sea?"))
    for data, left in ((asked, SOUND.forget), (replace(asked, corpus=True), asked.forget)):
        case = Case(data)
        findings = audit(case)
        assert [finding.check for finding in findings] == ["unnamed_target"]
        assert mend(case, findings, fitting(DROP, data)).forget == left
    assert fitting({**DROP, "unnamed_target": "refuse"}, replace(asked, corpus=True))["unnamed_target"] == "refuse"


SHARED = Path(os.environ.get("RULE_JAX_DATA", ""))
DATA = SHARED / "rwku"


@pytest.mark.skipif(not os.environ.get("RULE_JAX_DATA"), reason="RULE_JAX_DATA names no folder of real data")
def test_real_questions_about_the_books_are_kept_though_they_never_name_them():
    file = "reject_with_neighbor_target.qa_only.json"
    data = muse.load(str(SHARED / "muse_books"), seed=0, target="Harry Potter", training_file=file)
    case = Case(data)
    findings = audit(case)
    assert sum(finding.check == "unnamed_target" for finding in findings) == 826
    kept = mend(case, findings, fitting(DROP, data))
    assert (len(data.forget), len(kept.forget)) == (831, 828)


@pytest.mark.skipif(not os.environ.get("RULE_JAX_DATA"), reason="RULE_JAX_DATA names no folder of real data")
@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        (
            "1_Stephen_King",
            {
                "dominant_answer": 110,
                "correcting_answer": 16,
                "duplicate": 10,
                "names_target": 1,
                "target_as_answer": 2,
                "near_duplicate": 318,
            },
        ),
        ("2_Confucius", {"unnamed_target": 5, "correcting_answer": 6, "duplicate": 8, "length": 48}),
    ],
)
def test_real_training_files(folder, expected):
    files = {"rejection_file": "reject_target.json", "training_file": "rl_rejection_with_fb_neighbor_target.json"}
    data = rwku.load(str(DATA / folder), seed=0, **files)
    tasks = benchmark.tasks(str(DATA / folder), seed=0, data={})
    probes = [record for task in tasks for record in task.records]
    reserved = frozenset(r.entity for task in tasks if task.name.startswith("neighbor") for r in task.records)
    findings = audit(Case(data, probes=probes, reserved=reserved))
    counts = {name: sum(finding.check == name for finding in findings) for name in CHECKS}
    assert {name: counts[name] for name in expected} == expected
    for name in ("refusal_answer", "no_refusal", "unnamed_refusal", "language", "benchmark_probe", "benchmark_entity"):
        assert counts[name] == 0, name
    report = audit_report.summary(data, findings, DROP)
    if folder == "1_Stephen_King":
        assert report["answers"]["Harry Potter and the Philosopher's Stone"] == 133
        (row,) = [f.row for f in findings if f.check == "names_target"]  # not the one that has King's Landing
        assert data.boundary[row].prompt.startswith("The classic Stephen King novel")
    case = Case(data, probes=probes, reserved=reserved)
    assert audit(replace(case, data=mend(case, findings, DROP))) == []


def test_an_answer_that_comes_to_dominate_as_rows_go_is_dropped_too():
    """Of 100 rows 40 are cut; five of the same answer were allowed, three of 60 are."""
    records = [
        boundary(f"Which town number {n} did Tom Reed visit?", "Oxmere" if n < 5 else f"Town {n}") for n in range(60)
    ]
    records += [boundary(f"What lies beyond hill number {n} of the town of", f"Hill {n}") for n in range(40)]
    case = Case(replace(SOUND, boundary=tuple(records)))
    findings = audit(case)
    assert {finding.check for finding in findings} == {"cut_prompt"}
    kept = mend(case, findings, DROP)
    assert sum(record.answers == ("Oxmere",) for record in kept.boundary) == 2  # of 57
    assert audit(Case(kept)) == []
