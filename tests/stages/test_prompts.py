"""stages._prompts: which forms a batch has, and what is refused before anything runs."""

from pathlib import Path
from typing import Any

import pytest

from configs import grpo_robust
from rule_jax import plugin
from rule_jax.data import jsonl
from rule_jax.errors import UserError
from rule_jax.stages import Run, Subject, _prompts
from rule_jax.types import Answer, PromptRecord
from tests.stages import letters


@pytest.mark.parametrize(
    ("rows", "shares", "expected"),
    [
        (16, {"chat": 1.0}, {"chat": 16}),
        (24, {"chat": 9, "frame": 5, "prefill": 3, "raw_question": 3, "own_words": 4}, None),
        (7, {"chat": 0.5, "prefill": 0.5}, {"chat": 4, "prefill": 3}),  # 3.5 each: the first known form goes first
        (3, {"chat": 0.9, "frame": 0.1}, {"chat": 3}),
        (10, {"frame": 1, "raw_question": 2}, {"frame": 3, "raw_question": 7}),  # 3.33 and 6.67
    ],
)
def test_rows_are_split_by_shares(rows, shares, expected):
    found = _prompts.split(rows, shares)
    assert found == (shares if expected is None else expected)
    assert sum(found.values()) == rows


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"forms": {"forget": {"raw_qestion": 1.0}}}, "'raw_qestion'.*raw_question"),
        ({"forms": {"boundary": {"chat": 1.0, "frame": -0.5}}}, "forms.boundary.frame=-0.5"),
        ({"forms": {"forget": {"chat": 0.0}}}, "forms.forget has no weight above 0"),
        ({"forms": {"forget": {"chat": 1.0, "namesake": 2.0}}}, "forms.forget.namesake=2.0"),
        ({"retain_share": 1.0}, "retain_share=1.0"),
    ],
)
def test_what_cannot_be_asked_is_refused(changes, told):
    config = grpo_robust.get_config()
    with config.unlocked():
        for name, value in changes.items():
            config.boundary_optimization[name] = value
    with pytest.raises(UserError, match=told):
        _prompts.check(Run(config, Path(), Path(), None))  # type: ignore[arg-type]


def test_what_recollection_gathers_needs_the_stage():
    config = grpo_robust.get_config()
    settings = config.boundary_optimization
    run = Run(config, Path(), Path(), None)  # type: ignore[arg-type]
    _prompts.check(run)
    config.stages = tuple(stage for stage in config.stages if stage != "recollection")
    for own_words, retain_share in ((4.0, 0.0), (0.0, 0.25)):
        settings.forms.forget.own_words = settings.forms.boundary.own_words = own_words
        settings.retain_share = retain_share
        with pytest.raises(UserError, match='"recollection"'):
            _prompts.check(run)
    settings.retain_share = 0.0
    _prompts.check(run)


FORGET = tuple(PromptRecord(f"Where is Ina Volk from, {n}?", "forget", "Ina Volk", "Ina Volk", ("Sael",)) for n in "ab")
BOUNDARY = tuple(
    PromptRecord(f"Where is {name} from?", "boundary", "", name, ("Lund",)) for name in ("Bo Ek", "Ulla Ek")
)


def test_nobody_who_has_half_a_targets_name_stands_beside_the_boundary(tmp_path, one_device):
    (tmp_path / "data").mkdir()
    for kind, records in (("forget", FORGET), ("boundary", BOUNDARY)):
        jsonl.write(tmp_path / "data" / f"{kind}.jsonl", records)
    config: Any = grpo_robust.get_config()
    settings = config.boundary_optimization
    settings.update({"forget_prompts": 2, "boundary_prompts": 4, "retain_share": 0.0})
    settings.forms.forget = {"chat": 1.0}
    settings.forms.boundary = {"chat": 1.0, "namesake": 1.0}
    learner = Subject(Path(), None, None, letters.tokenizer(), (letters.EOS,))  # type: ignore[arg-type]
    records, prompts = _prompts.PromptSet(Run(config, tmp_path, tmp_path, one_device), learner).batch(0)
    assert [record.kind for record in records] == ["forget"] * 2 + ["boundary"] * 4
    assert {(record.entity, record.answers) for record in records[2:4]} == {
        ("Bo Ek", ("Lund",)),
        ("Ulla Ek", ("Lund",)),
    }
    assert {(record.prompt, record.entity, record.answers) for record in records[4:]} == {
        ("Where is Ina Ek from?", "Ina Ek", ()),
        ("Where is Ulla Volk from?", "Ulla Volk", ()),
    }
    assert prompts.length_B.shape == (6,)
    # Nobody knows the answer: not to be refused is all that is asked.
    reward = plugin.make("rewards", config.reward.to_dict())
    said = [Answer("Lund"), Answer("I don't know Ina Volk.")]
    assert [score.total for score in reward([records[4]] * 2, said)] == [0.5, 0.0]
