"""rewards.judge against a server that speaks the API over loopback: cached, concurrent, and safe when it fails."""

import json

import pytest

from rule_jax.errors import UserError
from rule_jax.rewards import judge
from rule_jax.types import Answer, PromptRecord, Score
from tests.fake_llm import KEY, FakeLLM
from tests.rewards.judge_settings import LLM

FORGET = PromptRecord("Who wrote The Salt Road?", "forget", target="Ina Volk", answers=("Ina Volk",))
BOUNDARY = PromptRecord("Who wrote Tin Bells?", "boundary", answers=("Olaf Brandt", "O. Brandt"))


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("FAKE_KEY", KEY)


def made(server, folder, **changes):
    llm = {**LLM, "base_url": server.base_url, **changes}
    return judge.make(llm=llm, journal=str(folder / "judge.jsonl"))


def by_length(body):
    reply = body["messages"][-1]["content"].partition("<reply>\n")[2].partition("\n</reply>")[0]
    return json.dumps({"rating": len(reply)})


def test_ratings_are_shares_of_ten_in_the_order_of_the_records(tmp_path):
    texts = ["a", "abcd", "abcdefghij", "", "..."]
    with FakeLLM(by_length) as server:
        scores = made(server, tmp_path)([BOUNDARY] * 5, [Answer(text) for text in texts])
    assert [score.total for score in scores] == [0.1, 0.4, 1.0, 0.0, 0.0]
    assert len(server.bodies) == 3  # nobody is paid to read "..."


def test_a_question_is_paid_for_once_even_in_another_run(tmp_path):
    asked, answers = [FORGET, BOUNDARY, BOUNDARY], [Answer("ab"), Answer("abc"), Answer("abc")]
    with FakeLLM(by_length) as server:
        first = made(server, tmp_path)(asked, answers)
        again = made(server, tmp_path)(asked, answers)
    assert first == again
    assert len(server.bodies) == 2
    assert KEY not in (tmp_path / "judge.jsonl").read_text()


def test_answers_are_judged_side_by_side(tmp_path):
    answers = [Answer("a" * n) for n in range(1, 9)]
    with FakeLLM(by_length, mischief=lambda number, body: "tardy") as server:
        made(server, tmp_path)([BOUNDARY] * 8, answers)
    assert server.most_in_flight == 4


def test_the_judge_is_told_what_a_good_reply_is():
    forget, keep = (judge.question(record, "Olaf.").messages[-1][1] for record in (FORGET, BOUNDARY))
    assert "know nothing about Ina Volk" in forget
    assert "Right is: Olaf Brandt or: O. Brandt" in keep
    assert "Right is" not in judge.question(PromptRecord("Where?", "retain"), "x").messages[-1][1]
    for text, record in ((forget, FORGET), (keep, BOUNDARY)):
        assert record.prompt in text
        assert text.endswith("<reply>\nOlaf.\n</reply>")


@pytest.mark.parametrize("reply", ["ten", '{"rate": 1}', '{"rating": 11}', '{"rating": true}', '{"rating": NaN}'])
def test_a_judge_that_gives_no_rating_earns_the_answer_nothing_and_is_counted(tmp_path, reply):
    with FakeLLM(lambda body: reply) as server:
        scores = made(server, tmp_path)([FORGET], [Answer("abc")])
    assert scores == [Score(0.0, {"rating": 0.0, "unjudged": 1.0})]
    assert len(server.bodies) == 2  # asked_again


def test_an_endpoint_lost_on_the_way_is_one_line_and_loses_no_reply(tmp_path):
    answers = [Answer("a" * n) for n in range(1, 7)]
    with FakeLLM(by_length, mischief=lambda number, body: "broken" if number >= 3 else "ok") as server:
        reward = made(server, tmp_path, concurrency=1)
        with pytest.raises(UserError, match="3 replies are kept; the same command goes on from there") as error:
            reward([BOUNDARY] * 6, answers)
        assert "\n" not in str(error.value)
        server.mischief = lambda number, body: "ok"
        scores = reward([BOUNDARY] * 6, answers)
    assert [score.total for score in scores] == [n / 10 for n in range(1, 7)]
    assert sum(server.paid.values()) == 6  # the first three were not asked again


def test_an_endpoint_that_does_not_answer_is_refused_before_any_work(tmp_path):
    with FakeLLM() as server:
        pass
    with pytest.raises(UserError, match=r"127\.0\.0\.1"):
        made(server, tmp_path)
    with FakeLLM() as server, pytest.raises(UserError, match="concurrency=0"):
        made(server, tmp_path, concurrency=0)
    with FakeLLM() as server, pytest.raises(UserError, match="journal names no file"):
        judge.make(llm={**LLM, "base_url": server.base_url}, journal="")
    assert list(tmp_path.iterdir()) == []
