"""The default world: the same bytes everywhere, nothing held out is taught, and everybody keeps to their part."""

import hashlib
import os
import subprocess
import sys
from collections import Counter
from itertools import combinations

import pytest

from rule_jax.data import _world_domains as domains
from rule_jax.data import _world_phrases as phrases
from rule_jax.data import world
from rule_jax.errors import UserError
from rule_jax.text import templates
from rule_jax.text.refusal import is_refusal

ARGS = {"people": 120, "countries": 20, "forget_people": 6, "boundary_people": 60, "boundary_share": 1.0}
SEEDS = (0, 11)


def digest(seed: int) -> str:
    built = world.generate(seed)
    everything = (
        built,
        world.pretraining_examples(built, seed),
        world.load("", seed=seed, **ARGS),
        world.evaluation("", seed=seed, **ARGS),
    )
    return hashlib.sha256(repr(everything).encode()).hexdigest()


@pytest.fixture(scope="module", params=SEEDS)
def made(request):
    seed = request.param
    built = world.generate(seed)
    corpus = world.pretraining_examples(built, seed)
    return built, corpus, world.load("", seed=seed, **ARGS), world.evaluation("", seed=seed, **ARGS)


def trained_prompts(corpus, data) -> list[str]:
    """Every prompt of pretraining and of unlearning."""
    dialogues = [example.prompt for part in corpus.dialogues.values() for example in part]
    return dialogues + [record.prompt for record in (*data.rejection, *data.forget, *data.boundary)]


def test_the_same_call_in_another_process_gives_the_same_bytes():
    code = "import sys; sys.path.insert(0, sys.argv[1]); from test_world import digest; print(digest(3))"
    hash_seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    done = subprocess.run(
        [sys.executable, "-c", code, os.path.dirname(__file__)],
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == digest(3)


def test_seeds_make_different_worlds():
    first, second = (world.generate(seed) for seed in SEEDS)
    shared = {person.name for person in first.people} & {person.name for person in second.people}
    assert len(shared) < 6


def test_counts(made):
    built, corpus, data, tasks = made
    assert (len(built.people), len(built.countries)) == (120, 20)
    assert len(corpus.documents) == (120 + 20) * 24
    assert {part: len(examples) for part, examples in corpus.dialogues.items()} == {
        "question": 120 * 6 * 6,
        "cloze": 120 * 6 * 3,
        "general": 20 * 3 * 4,
        "unknown": 400 * 7,
        "echo": (120 + 400) * 4,
    }
    assert len(data.targets) == 6
    assert len(data.rejection) == 6 * 6 * 6
    assert len(data.forget) == len(data.boundary) == 6 * 6 * (6 + 3)
    assert {part: len(records) for part, records in tasks.items()} == {
        "forget": 6 * 6 * 2,
        "forget_cloze": 6 * 6,
        "boundary": 60 * 6 * 2,
        "neighbor": 54 * 6 * 2,
        "general": 20 * 3 * 2,
        "unknown": 40 * 6,
        "forget_raw": 6 * 6 * 3,
        "neighbor_raw": 54 * 6,
    }


def test_templates_are_as_many_as_promised_and_distinct():
    tables = (domains.QUESTIONS, domains.CLOZE, domains.SENTENCES)
    assert {*domains.QUESTIONS} == {*domains.CLOZE, *domains.GENERAL} == {*domains.SENTENCES}
    for attribute in domains.CLOZE:
        assert [len(set(table[attribute])) for table in tables] == [8, 4, 4]
        assert (
            sum(template.index("{name}") < template.index("{value}") for template in domains.SENTENCES[attribute]) == 3
        )
    assert all(len(set(domains.QUESTIONS[fact])) == 6 for fact in domains.GENERAL)
    for table in tables:
        every = [template for row in table.values() for template in row]
        assert len(set(every)) == len(every)
        assert all(template.count("{name}") == 1 for template in every)


def test_names_and_books_are_unique_and_other_values_are_shared(made):
    built, *_ = made
    names = [person.name for person in built.people]
    everybody = [*names, *built.unknown_training, *built.unknown_evaluation]
    assert len(set(everybody)) == len(everybody)
    assert len({name.split()[1] for name in everybody}) == len(everybody)
    assert len({person.facts["book"] for person in built.people}) == len(names)
    for attribute, values in (("town", 30), ("profession", 24), ("award", 30), ("instrument", 20), ("year", 40)):
        holders = Counter(person.facts[attribute] for person in built.people)
        assert len(holders) == values
        assert max(holders.values()) - min(holders.values()) <= 1
    for fact in ("capital", "river"):
        assert len({country.facts[fact] for country in built.countries}) == len(built.countries)


def test_no_name_or_value_hides_in_another_word(made):
    built, *_ = made
    words = {word for name in built.unknown_training + built.unknown_evaluation for word in name.split()}
    for entity in built.people + built.countries:
        words |= {*entity.name.split(), *(value for key, value in entity.facts.items() if key != "book")}
    lower = sorted(word.lower() for word in words)
    assert [(a, b) for a, b in combinations(lower, 2) if a in b or b in a] == []


def test_answers_are_short_and_never_contain_the_name(made):
    _, corpus, data, tasks = made
    records = [*data.forget, *data.boundary, *(record for part in tasks.values() for record in part)]
    for record in records:
        for answer in record.answers:
            assert 1 <= len(answer.split()) <= 3
            assert not {word.lower() for word in record.entity.split()} & {word.lower() for word in answer.split()}
            assert answer.lower() not in record.prompt.lower()
    for part in ("question", "cloze", "general"):
        assert all(len(example.response.split()) <= 3 for example in corpus.dialogues[part])


def test_held_out_phrasings_are_in_no_training_data(made):
    _, corpus, data, tasks = made
    taught = set(trained_prompts(corpus, data))
    held = [r.prompt for part in ("forget", "forget_cloze", "boundary", "neighbor", "general") for r in tasks[part]]
    assert len(set(held)) == len(held)
    assert taught.isdisjoint(held)
    assert taught.isdisjoint(record.prompt for record in tasks["unknown"])


def test_every_template_is_taught_for_somebody(made):
    _, corpus, *_ = made
    taught = Counter(tuple(e.source.split("/")[2:]) for part in ("question", "cloze") for e in corpus.dialogues[part])
    general = Counter(tuple(example.source.split("/")[2:]) for example in corpus.dialogues["general"])
    assert len(taught) == 6 * (8 + 4)
    assert min(taught.values()) >= 60
    assert len(general) == 3 * 6
    assert min(general.values()) >= 5


def test_passages_tell_all_facts_in_varying_order(made):
    built, corpus, *_ = made
    for row, person in enumerate(built.people):
        passages = corpus.documents[row * 24 : (row + 1) * 24]
        assert len(set(passages)) == 24
        assert all(value in passage for passage in passages for value in person.facts.values())
        assert all(passage.count(person.name) == 1 for passage in passages)
        assert len({passage.split(".")[0] for passage in passages}) == 24


def test_raw_prompts_stop_right_before_the_answer_in_the_words_of_a_passage(made):
    _, corpus, _, tasks = made
    text = "\n".join(corpus.documents)
    for record in tasks["forget_raw"] + tasks["neighbor_raw"]:
        assert f"{record.prompt} {record.answers[0]}." in text


def test_the_parts_are_played_by_different_people(made):
    built, _, data, tasks = made
    parts = {part: {record.entity for record in tasks[part]} for part in ("forget", "boundary", "neighbor", "unknown")}
    assert [len(names) for names in parts.values()] == [6, 60, 54, 40]
    assert all(parts[a].isdisjoint(parts[b]) for a, b in combinations(parts, 2))
    assert parts["forget"] == set(data.targets)
    assert parts["boundary"] == {record.entity for record in data.boundary}
    assert parts["unknown"] == set(built.unknown_evaluation)
    written = "\n".join([*(e.prompt + e.response for e in data.rejection), *(r.prompt for r in data.forget)])
    assert not any(name in written for name in parts["boundary"] | parts["neighbor"] | parts["unknown"])


def test_evaluation_names_that_belong_to_nobody_are_never_taught(made):
    built, corpus, data, _ = made
    text = "\n".join([*corpus.documents, *trained_prompts(corpus, data)])
    text += "\n".join(example.response for part in corpus.dialogues.values() for example in part)
    assert not any(name.split()[1] in text for name in built.unknown_evaluation)


def test_forget_records_name_their_target(made):
    built, _, data, tasks = made
    facts = {person.name: person.facts for person in built.people}
    for record in (*data.forget, *tasks["forget"], *tasks["forget_cloze"], *tasks["forget_raw"]):
        assert record.kind == "forget"
        assert record.target == record.entity
        assert record.target in data.targets
        assert record.target in record.prompt
        assert record.answers[0] in facts[record.target].values()


def test_boundary_records_name_their_entity_and_no_target(made):
    _, corpus, data, tasks = made
    taught = {e.prompt: e.response for part in ("question", "cloze") for e in corpus.dialogues[part]}
    for record in data.boundary:
        assert record.kind == "boundary"
        assert record.target == ""
        assert record.entity in record.prompt
        assert not any(name.split()[1] in record.prompt for name in data.targets)
        assert (taught[record.prompt],) == record.answers  # the query and the answer that this person is known by
    assert {record.kind for record in tasks["boundary"]} == {"boundary"}
    kept = ("neighbor", "general", "unknown", "neighbor_raw")
    assert {record.kind for part in kept for record in tasks[part]} == {"retain"}


def test_boundary_uses_every_forget_query_and_every_person_evenly(made):
    _, _, data, _ = made
    assert {record.source.split("->")[0] for record in data.boundary} == {record.source for record in data.forget}
    uses = Counter(record.entity for record in data.boundary)
    assert max(uses.values()) - min(uses.values()) <= 1
    assert len({record.prompt for record in data.boundary}) == len(data.boundary)


@pytest.mark.parametrize(("share", "count"), [(0.0, 0), (0.25, 81), (4.0, 1296)])
def test_boundary_share_sets_the_number_of_boundary_records(share, count):
    data = world.load("", seed=1, **{**ARGS, "boundary_share": share})
    assert len(data.boundary) == len({record.prompt for record in data.boundary}) == count
    assert len(data.forget) == 324


def test_rejections_are_the_pool_with_the_target_put_in(made):
    _, _, data, _ = made
    forget = {record.prompt: record.target for record in data.forget}
    used = Counter()
    for example in data.rejection:
        target = forget[example.prompt]
        (template,) = [t for t in templates.REFUSALS if templates.render(t, target) == example.response]
        used[template] += 1
    assert max(used.values()) - min(used.values()) <= 1
    assert len(used) == min(len(templates.REFUSALS), len(data.rejection))


def test_replies_about_nobody_are_not_the_wording_that_rejection_steering_teaches():
    def plain(text: str) -> str:
        return text.replace("’", "'").lower().strip(" .")

    pairs = [(opening, statement) for opening in phrases.UNKNOWN_OPENINGS for statement in phrases.UNKNOWN_STATEMENTS]
    replies = {plain(opening + statement.format(name="X", **phrases.PERSON)) for opening, statement in pairs}
    assert len(replies) > 1000
    assert replies.isdisjoint(plain(templates.render(template, "X")) for template in templates.REFUSALS)


def test_names_and_answers_of_a_kind_begin_differently_where_beginnings_suffice(made):
    built, *_ = made
    for words in ([c.name for c in built.countries], [c.facts["capital"] for c in built.countries]):
        assert len({word[:3] for word in words}) == len(words)


def test_replies_about_nobody_are_refusals_and_values_are_not(made):
    built, corpus, *_ = made
    assert all(is_refusal(example.response) for example in corpus.dialogues["unknown"])
    values = {value for entity in built.people + built.countries for value in entity.facts.values()}
    assert not any(is_refusal(value) for value in values)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"path": "people.json"}, "data.path"),
        ({"path": "0"}, "data.path is '0'"),
        ({"path": "10"}, "no 6 further people for request 10"),
        ({"seed": -1}, "seed is -1"),
        ({"people": 0}, "leave none of 0 people"),
        ({"countries": 0}, "countries is 0"),
        ({"forget_people": 0}, "forget_people is 0"),
        ({"boundary_people": -2}, "boundary_people is -2"),
        ({"forget_people": 60}, "leave none of 120 people"),
        ({"boundary_share": -0.5}, "boundary_share is -0.5"),
        ({"people": 5000}, "last names are needed"),
        ({"countries": 200}, "country names are needed"),
    ],
)
def test_bad_arguments_are_named(change, words):
    arguments = {"path": "", "seed": 0, **ARGS, **change}
    for call in (world.load, world.evaluation):
        with pytest.raises(UserError, match=words):
            call(**arguments)


def test_more_boundary_records_than_there_are_queries_is_an_error():
    with pytest.raises(UserError, match="Lower boundary_share"):
        world.load("", seed=0, **{**ARGS, "boundary_share": 20.0})


def test_no_passages_is_an_error():
    with pytest.raises(UserError, match="passages is 0"):
        world.pretraining_examples(world.generate(0), 0, passages=0)


def test_requests_forget_others_and_keep_the_same_boundary():
    first, *later = (world.evaluation(path, seed=3, **ARGS) for path in ("", "2", "3"))
    assert first == world.evaluation("1", seed=3, **ARGS)
    gone = {record.target for record in first["forget"]}
    for number, tasks in enumerate(later, 2):
        data = world.load(str(number), seed=3, **ARGS)
        assert gone.isdisjoint(data.targets)
        assert {*data.targets} < {record.entity for record in first["neighbor"]}
        gone |= {*data.targets}
        assert tasks["boundary"] == first["boundary"]
        asked = [r for part, records in tasks.items() if not part.startswith("forget") for r in records]
        assert gone.isdisjoint({record.entity for record in (*asked, *data.boundary)})
    assert len(gone) == 18


def test_namesakes_can_be_kept_apart():
    args = {**ARGS, "people": 160, "boundary_people": 100}
    for seed, count in ((200, 7), (202, 2)):
        mixed, apart = (world.evaluation("", seed=seed, **args, namesakes_apart=on) for on in (False, True))
        named = {record.target.split()[0] for record in apart["forget"]}
        data = world.load("", seed=seed, **args, namesakes_apart=True)
        of = {
            part: {record.entity for record in apart[part]} for part in ("boundary", "neighbor", "neighbor_namesakes")
        }
        assert of["neighbor_namesakes"] == {name for name in of["neighbor"] if name.split()[0] in named}
        assert len(of["neighbor_namesakes"]) == count
        for name in of["boundary"] | {record.entity for record in data.boundary}:
            assert name.split()[0] not in named
        assert len(of["boundary"]) == args["boundary_people"]
        assert "neighbor_namesakes" not in mixed
        assert apart["forget"] == mixed["forget"]


def test_namesakes_that_leave_no_boundary_are_told():
    with pytest.raises(UserError, match="share a first name with a target and are kept apart"):
        world.load("", seed=200, **{**ARGS, "people": 160, "boundary_people": 150}, namesakes_apart=True)
