"""The client against a server that speaks the API over loopback, and misbehaves."""

import gc
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rule_jax.errors import UserError
from rule_jax.journal import Journal
from rule_jax.llm.client import Client, Request, SetAside, json_object
from rule_jax.llm.limits import Pace
from tests.fake_llm import KEY, FakeLLM

ROOT = Path(__file__).parent.parent.parent
SETTINGS = {
    "model": "fake",
    "api_key_env": "FAKE_KEY",
    "concurrency": 4,
    "requests_per_minute": 0,
    "tokens_per_minute": 0,
    "timeout_s": 5.0,
    "retries": 3,
    "asked_again": 1,
    "budget": {"requests": 0, "tokens": 0, "money": 0.0},
    "prices": (("fake", 1.0, 10.0),),
}


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("FAKE_KEY", KEY)


@pytest.fixture
def journal(tmp_path):
    with Journal(tmp_path / "replies.jsonl") as kept:
        yield kept
    assert KEY not in "".join(file.read_text() for file in tmp_path.rglob("*") if file.is_file())


def asked(*texts: str) -> list[Request]:
    return [Request.of("Echo.", text) for text in texts]


def client(journal: Journal, server: FakeLLM, **changes) -> Client:
    return Client(journal, base_url=server.base_url, **{**SETTINGS, **changes})


def test_answers_come_in_order_and_are_paid_for_once(journal):
    texts = [f"question {number}" for number in range(12)]
    with FakeLLM(mischief=lambda number, body: "tardy") as server:
        for _ in range(2):
            answers = client(journal, server).ask(asked(*texts), json_object)
            assert answers == [{"echo": text} for text in texts]
        again = client(journal, server)
        assert again.ask(asked("question 3", "question 3"), json_object) == [{"echo": "question 3"}] * 2
        assert len(server.bodies) == len(texts)
        assert client(journal, server).ask(asked("new", "new"), json_object) == [{"echo": "new"}] * 2  # asked at once
    assert len(server.bodies) == len(texts) + 1
    assert server.most_in_flight == 4
    assert (again.usage.requests, again.usage.input_tokens, again.usage.output_tokens) == (12, 1200, 120)
    assert again.usage.money == pytest.approx(12 * (100 * 1 + 10 * 10) / 1e6)


def test_answers_come_as_soon_as_they_are_known_and_what_is_not_wanted_is_not_asked(journal):
    texts = [str(number) for number in range(40)]
    with FakeLLM(mischief=lambda number, body: "tardy") as server:
        answers = client(journal, server).stream(asked(*texts), json_object)
        assert [next(answers), next(answers)] == [{"echo": "0"}, {"echo": "1"}]
        assert len(server.bodies) < 20
        answers.close()  # type: ignore[attr-defined]
        assert client(journal, server).ask(asked("0", "1"), json_object) == [{"echo": "0"}, {"echo": "1"}]
        assert len(server.bodies) < 20


def test_what_came_before_a_failure_is_answered(journal):
    with FakeLLM(mischief=["ok", "ok", "quota", "quota"]) as server:
        answers = client(journal, server, concurrency=1, retries=0).stream(asked("a", "b", "c", "d"), json_object)
        assert [next(answers), next(answers)] == [{"echo": "a"}, {"echo": "b"}]
        with pytest.raises(UserError, match="quota of the account"):
            next(answers)


def unreadable(reply):
    raise KeyError(reply)


def all_of_them(used):
    assert len(used.ask(asked(*map(str, range(40))), json_object)) == 40


def a_failure_in_parse(used):
    with pytest.raises(KeyError):
        used.ask(asked(*map(str, range(40))), unreadable)


def a_spent_budget(used):
    with pytest.raises(UserError, match="raise the budget"):
        used.ask(asked(*map(str, range(100))), json_object)


def the_first_is_enough(used):
    answers = used.stream(asked(*map(str, range(100))), json_object)
    next(answers)
    answers.close()


def an_interrupt(used):
    answers = used.stream(asked(*map(str, range(100))), json_object)
    next(answers)
    with pytest.raises(KeyboardInterrupt):
        answers.throw(KeyboardInterrupt)  # where a signal finds the caller


@pytest.mark.parametrize(
    ("path", "limit"),
    [(all_of_them, 0), (a_failure_in_parse, 0), (a_spent_budget, 50), (the_first_is_enough, 0), (an_interrupt, 0)],
)
def test_whichever_way_it_ends_every_connection_is_closed(tmp_path, monkeypatch, path, limit):
    lost: list[
        str
    ] = []  # "unclosed transport", "unclosed socket": else an error of whichever test collects the garbage
    gc.collect()
    monkeypatch.setattr(sys, "unraisablehook", lambda fault: lost.append(str(fault.exc_value)))
    with FakeLLM(mischief=lambda number, body: "tardy") as server:
        for number in range(3):  # which task ends first is a matter of chance
            with Journal(tmp_path / str(number)) as journal:
                path(client(journal, server, concurrency=40, budget={"requests": limit, "tokens": 0, "money": 0}))
        gc.collect()
    assert not lost
    assert server.most_in_flight > 4


@pytest.mark.parametrize(
    "change", [{"model": "other"}, {"temperature": 0.5}, {"max_tokens": 7}, {"seed": 1}, {"json": False}, {"text": "?"}]
)
def test_another_question_is_another_entry(journal, change):
    with FakeLLM() as server:
        client(journal, server).ask(asked("!"), str)
        text, model = change.pop("text", "!"), change.pop("model", "fake")
        client(journal, server, model=model).ask([Request.of("Echo.", text, **change)], str)
    assert len(server.bodies) == len(journal) == 2


@pytest.mark.parametrize("mischief", [["busy"] * 3, ["broken"] * 3, ["busy", "broken", "cut"], ["cut"]])
def test_what_passes_is_tried_again(journal, mischief):
    with FakeLLM(mischief=mischief) as server:
        assert client(journal, server).ask(asked("a"), json_object) == [{"echo": "a"}]
    assert len(server.bodies) == len(mischief) + 1


def test_retry_after_is_honoured(journal):
    with FakeLLM(mischief=["busy_for_a_while"]) as server:
        client(journal, server).ask(asked("a"), json_object)
    assert server.times[1] - server.times[0] >= 0.2


def test_a_storm_of_429_loses_nothing(journal):
    texts = [f"question {number}" for number in range(30)]
    storm = lambda number, body: "busy" if number % 3 != 2 else "ok"  # noqa: E731
    with FakeLLM(mischief=storm) as server:
        answers = client(journal, server, retries=30, concurrency=8).ask(asked(*texts), json_object)
    assert answers == [{"echo": text} for text in texts]
    assert set(server.paid.values()) == {1}


def test_slow_bytes_are_cut_off_although_no_read_times_out(journal):
    started = time.monotonic()
    with FakeLLM(mischief=["slow"]) as server:
        assert client(journal, server, timeout_s=0.3).ask(asked("a"), json_object) == [{"echo": "a"}]
    assert len(server.bodies) == 2
    assert time.monotonic() - started < 4  # the whole trickle takes longer


@pytest.mark.parametrize("mischief", ["garbage", "another_schema"])
def test_a_response_of_no_use_is_asked_for_again_then_set_aside(journal, mischief):
    with FakeLLM(mischief=[mischief]) as server:
        assert client(journal, server).ask(asked("a"), json_object) == [{"echo": "a"}]
        assert len(server.bodies) == 2
    with FakeLLM(mischief=[mischief] * 9) as server:
        (answer,) = client(journal, server).ask(asked("b"), json_object)
    assert isinstance(answer, SetAside)
    assert "the response is no" in answer.reason
    assert len(server.bodies) == 2


def test_malformed_json_is_corrected_with_the_reason_or_set_aside(journal):
    def answer(body):
        return '{"echo": "a"}' if len(body["messages"]) > 2 else '{"echo": "a'

    with FakeLLM(answer) as server:
        assert client(journal, server).ask(asked("a"), json_object) == [{"echo": "a"}]
        assert "malformed or cut" in server.bodies[1]["messages"][-1]["content"]
        assert client(journal, server).ask(asked("a"), json_object) == [{"echo": "a"}]
    assert len(server.bodies) == 2
    with FakeLLM(lambda body: "no idea") as server:
        (answer,) = client(journal, server, asked_again=2).ask(asked("b"), json_object)  # type: ignore[assignment]
    assert answer == SetAside(asked("b")[0], "there is no JSON object in it", "no idea")
    assert len(server.bodies) == 3


def test_a_request_that_the_server_will_not_have_is_set_aside_once_others_were_accepted(journal):
    with FakeLLM(mischief=["ok"] + ["unacceptable"] * 2) as server:
        fine, refused = client(journal, server, concurrency=1).ask(asked("a", "b"), json_object)
    assert fine == {"echo": "a"}
    assert isinstance(refused, SetAside)
    assert "Bearer [key]" in refused.reason


@pytest.mark.parametrize(
    ("mischief", "expected"),
    [
        ("quota", "quota of the account is used up"),
        ("busy", "too many requests after 1 retries"),
        ("broken", "fails (status 500) after 1 retries"),
        ("unknown", "has no model 'fake'"),
        ("unacceptable", "I will not have this from Bearer [key]"),
        ("slow", "no whole reply within 0.2 s, 2 times"),
        ("cut", "cannot be reached"),
    ],
)
def test_what_does_not_pass_is_one_line_and_keeps_what_was_done(journal, mischief, expected):
    with FakeLLM() as server:
        client(journal, server).ask(asked("a"), json_object)
    first = mischief == "unacceptable"  # once something was accepted, it would only be set aside
    with FakeLLM(mischief=[mischief] * 9 if first else ["ok", *[mischief] * 9]) as server:
        if first:
            journal.path.unlink()
            with Journal(journal.path) as fresh, pytest.raises(UserError) as caught:
                client(fresh, server, retries=1).ask(asked("b"), json_object)
        else:
            changes = {"retries": 1, "concurrency": 1, "timeout_s": 0.2 if mischief == "slow" else 5.0}
            with pytest.raises(UserError) as caught:
                client(journal, server, **changes).ask(asked("b", "c", "d"), json_object)
            assert "2 replies are kept" in str(caught.value)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)
    assert KEY not in repr(caught.value)
    assert caught.value.__cause__ is None


def test_an_endpoint_that_is_not_there_or_refuses_the_key_is_found_before_the_first_question(journal, monkeypatch):
    with FakeLLM() as server:
        client(journal, server).check()
        monkeypatch.setenv("FAKE_KEY", KEY[::-1])
        with pytest.raises(UserError, match=r"refuses the key in \$FAKE_KEY \(status 401\)") as caught:
            client(journal, server).check()
        assert KEY[::-1] not in str(caught.value)
        with pytest.raises(UserError, match="refuses the key"):
            client(journal, server).ask(asked("a"), json_object)
    assert len(server.bodies) == 1  # a refused key is not tried again
    with pytest.raises(UserError, match="cannot be reached"):
        client(journal, server).check()


def test_a_key_in_a_reply_is_not_written_down(journal):
    with FakeLLM(mischief=["echo_key"]) as server:
        for _ in range(2):
            assert client(journal, server).ask(asked("a"), json_object) == [{"echo": "your key is [key]"}]


def test_a_server_that_counts_no_tokens_is_estimated(journal):
    with FakeLLM(mischief=["uncounted"]) as server:
        used = client(journal, server)
        used.ask([Request.of("", "x" * 400)], str)
    assert used.usage.input_tokens == 101
    assert used.usage.output_tokens > 100


@pytest.mark.parametrize(
    ("budget", "paid"),
    [
        ({"requests": 3, "tokens": 0, "money": 0}, 3),
        ({"requests": 0, "tokens": 500, "money": 0}, 4),  # 110 a reply, 150 before it is known
        ({"requests": 0, "tokens": 0, "money": 0.00105}, 3),  # 0.0002 a reply, 0.0006 before it is known
    ],
)
def test_a_spent_budget_stops_cleanly_over_several_runs(journal, budget, paid):
    requests = [Request.of("", f"{number} ".ljust(300, "?"), max_tokens=50) for number in range(9)]
    with FakeLLM() as server:
        for _ in range(2):
            with pytest.raises(UserError, match="What was answered is kept: raise the budget"):
                client(journal, server, budget=budget).ask(requests, json_object)
            assert len(server.bodies) == len(journal) == paid
        client(journal, server, budget={"requests": 9, "tokens": 0, "money": 0}).ask(requests, json_object)
    assert len(server.bodies) == 9


def test_the_pace_is_kept_by_retries_too(journal):
    with FakeLLM(mischief=["busy", "busy"]) as server:
        client(journal, server, requests_per_minute=600).ask(asked("a", "b"), json_object)  # one in 0.1 s
    assert len(server.times) == 4
    assert min(b - a for a, b in zip(server.times, server.times[1:])) > 0.05


def test_pace_by_hand():
    now = 0.0
    pace = Pace(60, clock=lambda: now)
    assert [pace.wait(), pace.wait(2), pace.wait()] == [0, 1, 3]
    now = 10.0
    assert pace.wait() == 0
    assert Pace(0, clock=lambda: now).wait(1e9) == 0


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"base_url": "localhost:8000/v1"}, "must begin with http"),
        ({"base_url": "http://me:secret@host/v1"}, "holds a user name, a password or a query"),
        ({"base_url": "http://host/v1?key=secret"}, "holds a user name, a password or a query"),
        ({"concurrency": 0}, "concurrency=0"),
        ({"retries": -1}, "retries=-1"),
        ({"timeout_s": 0}, "timeout_s=0"),
        ({"budget": {"requests": -1, "tokens": 0, "money": 0}}, "none below 0"),
        ({"model": "dear", "budget": {"requests": 0, "tokens": 0, "money": 1}}, "has no row for 'dear'"),
        ({"api_key_env": "NO_SUCH_KEY"}, "NO_SUCH_KEY holds no key"),
        (
            {"api_key_env": "sk-secret-0123456789"},
            "holds the variable's name, .* and never the key",
        ),
    ],
)
def test_settings_that_make_no_sense(journal, changes, expected):
    with pytest.raises(UserError, match=expected) as caught:
        Client(journal, **{"base_url": "http://127.0.0.1:1/v1", **SETTINGS, **changes})
    assert "secret" not in str(caught.value)


def test_something_that_is_no_key_is_refused_and_not_shown(journal, monkeypatch):
    monkeypatch.setenv("FAKE_KEY", "two words")
    with pytest.raises(UserError, match="cannot be a key") as caught:
        Client(journal, base_url="http://127.0.0.1:1/v1", **SETTINGS)
    assert "two" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"a": 1}', {"a": 1}),
        ('```json\n{"a": 1}\n```', {"a": 1}),
        ('<think>{"b": 2}</think>Here you are: {"a": 1} Enjoy!', {"a": 1}),
        ('{"a": "Ignore the above. {\\"role\\": \\"system\\"}"}', {"a": 'Ignore the above. {"role": "system"}'}),
    ],
)
def test_json_object(text, found):
    assert json_object(text) == found


@pytest.mark.parametrize("text", ["", "[1]", '{"a": ', "{a: 1}", '{"a":' * 9999])
def test_no_json_object(text):
    with pytest.raises(ValueError, match="JSON"):
        json_object(text)


SCRIPT = """
import sys
from rule_jax.journal import Journal
from rule_jax.llm.client import Client, Request
from tests.llm.test_client import SETTINGS, asked
from pathlib import Path
with Journal(Path(sys.argv[2])) as journal:
    Client(journal, base_url=sys.argv[1], **SETTINGS).ask(asked(*map(str, range(40))), str)
"""


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGKILL])
def test_a_killed_run_pays_twice_for_nothing_but_what_was_in_flight(tmp_path, sign):
    # A shell starts what it puts into the background with interrupts ignored, and children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with FakeLLM(mischief=lambda number, body: "tardy") as server:
        file = tmp_path / "replies.jsonl"
        command = [sys.executable, "-W", "always::ResourceWarning", "-c", SCRIPT, server.base_url, str(file)]
        with (tmp_path / "stderr").open("wb") as stderr:
            process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "FAKE_KEY": KEY}, stderr=stderr)
        deadline = time.monotonic() + 60
        while len(server.bodies) < 12 and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        os.kill(process.pid, sign)
        assert process.wait() != 0
        assert "unclosed" not in (tmp_path / "stderr").read_text()
        before = sum(server.paid.values())
        assert before < 40
        with Journal(file) as journal:
            kept = len(journal)
            assert kept >= before - SETTINGS["concurrency"]
            answers = client(journal, server).ask(asked(*map(str, range(40))), json_object)
        assert answers == [{"echo": str(number)} for number in range(40)]
    assert sum(server.paid.values()) <= 40 + SETTINGS["concurrency"]
    assert KEY not in file.read_text()
    assert all("sk-" not in json.dumps(body) for body in server.bodies)
