"""A client for any endpoint that speaks OpenAI's chat API: the hosted one, vLLM, Ollama, llama.cpp and others.

    with Journal(folder / "replies.jsonl") as journal:
        client = Client(journal, **config.llm)
        client.check()
        answers = client.ask([Request.of("You judge answers.", "...")], parse=json_object)

Every reply is in the journal before it is used, under (endpoint, messages, parameters): a rerun asks only what it has
no answer to. Replies that cannot be parsed are asked for again, and set aside with the reason when that fails too.
The library sends, retries (429, 408, 409, 5xx, timeouts, cut connections; Retry-After honoured up to two minutes, else
exponential backoff with jitter) and reads; the key comes from an environment variable and is written nowhere.
"""

import asyncio
import contextlib
import json
import re
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple, TypeVar

import openai

from rule_jax.errors import UserError
from rule_jax.journal import Journal, key_of
from rule_jax.llm import connection
from rule_jax.llm.limits import Pace, Purse, Usage

T = TypeVar("T")

Messages = tuple[tuple[str, str], ...]  # (role, content)

_THINKING = re.compile(r"<think>.*?</think>", re.DOTALL)


class Request(NamedTuple):
    """What an endpoint is asked. temperature 0 is greedy; max_tokens bounds the reply, thinking included; json asks
    the server for a JSON object, where it can enforce one; seed tells requests apart that are to be drawn anew."""

    messages: Messages
    temperature: float = 0.0
    max_tokens: int = 1024
    json: bool = True
    seed: int = 0

    @classmethod
    def of(cls, system: str, user: str, **parameters: Any) -> "Request":
        """A system message (none if empty) and a user's."""
        turns = (("system", system), ("user", user))
        return cls(tuple((role, text) for role, text in turns if text), **parameters)

    def corrected(self, reply: str, reason: str) -> "Request":
        """The same request once more, after a reply that was of no use."""
        again = f"That could not be used: {reason}. Answer the request again, in the form it asks for and nothing else."
        return self._replace(messages=(*self.messages, ("assistant", reply), ("user", again)))


class SetAside(NamedTuple):
    """A request without a usable reply: why, and the last reply."""

    request: Request
    reason: str
    reply: str


class Client:
    """Asks one model of one endpoint, as the `llm` section of a config says. The journal may hold others' entries too.

    base_url: where "/chat/completions" follows. model: its name there. api_key_env: the environment variable that holds
    the key; "" for a server that needs none.
    concurrency: requests in flight at once. requests_per_minute, tokens_per_minute: the pace, retries included; 0 is
    none. timeout_s: the longest time to a whole reply. retries: of one request, when the server or the way fails.
    asked_again: how often a reply that cannot be parsed is asked for again.
    budget: {"requests", "tokens", "money"} that the journal's replies may have cost, over all runs; 0 is no limit. A
    request is sent only if its longest reply still fits. prices: (model, input, output) rows, per million tokens.

    Raises UserError, at once, for settings that make no sense, an absent key, and a budget of money without a price.
    """

    def __init__(
        self,
        journal: Journal,
        *,
        base_url: str,
        model: str,
        api_key_env: str,
        concurrency: int,
        requests_per_minute: float,
        tokens_per_minute: float,
        timeout_s: float,
        retries: int,
        asked_again: int,
        budget: Mapping[str, float],
        prices: Sequence[tuple[str, float, float]],
    ):
        connection.check_url(base_url)
        for name, value, least in (
            ("concurrency", concurrency, 1),
            ("retries", retries, 0),
            ("asked_again", asked_again, 0),
        ):
            if value < least:
                raise UserError(f"config.llm.{name}={value}: it must be at least {least}")
        if timeout_s <= 0:
            raise UserError(f"config.llm.timeout_s={timeout_s}: it must be positive")
        if set(budget) != {"requests", "tokens", "money"} or min(budget.values()) < 0:
            raise UserError(f"config.llm.budget={dict(budget)}: requests, tokens and money, none below 0; 0: no limit")
        connection.read_key(api_key_env)  # is it there?
        self.price = next(((i, o) for name, i, o in prices if name == model), None)
        if budget["money"] and self.price is None:
            raise UserError(
                f"config.llm.prices has no row for {model!r}, so a budget of money cannot be kept: add the row, or set "
                "config.llm.budget.money=0"
            )
        self.journal = journal
        self.endpoint = connection.Endpoint(base_url.rstrip("/"), model, api_key_env, timeout_s, retries)
        self.concurrency, self.asked_again = concurrency, asked_again
        self._pace, self._token_pace = Pace(requests_per_minute), Pace(tokens_per_minute)
        self._budget = dict(budget)
        self._purse = Purse(budget, sum((Usage(**e["usage"]) for e in journal.entries() if "usage" in e), Usage()))

    @property
    def usage(self) -> Usage:
        """What all replies in the journal have cost."""
        return self._purse.spent

    def check(self) -> None:
        """Raises UserError when the endpoint cannot be reached or refuses the key. Asks for nothing that costs."""

        async def look() -> None:
            async with self.endpoint.connect(self._pace, retries=1) as api:
                try:
                    await api.get("/models", cast_to=object)
                except (openai.APIConnectionError, openai.AuthenticationError, openai.PermissionDeniedError) as error:
                    raise self._told(error) from None
                except (openai.APIStatusError, ValueError):
                    pass  # it answers: not every server lists its models

        asyncio.run(look())

    def answered(self, request: Request) -> bool:
        """Whether the journal has a reply, so that asking costs nothing."""
        return self.journal.get(key_of(self._question(request))) is not None

    def ask(self, requests: Sequence[Request], parse: Callable[[str], T]) -> list[T | SetAside]:
        """`stream` as a list."""
        return list(self.stream(requests, parse))

    def stream(self, requests: Sequence[Request], parse: Callable[[str], T]) -> Iterator[T | SetAside]:
        """parse(reply) for each request, in order and as soon as it is known, or why there is none.

        parse, which is called from another thread, raises ValueError, with the reason, for a reply of no use. Raises
        UserError, with all that was answered kept in the journal, when the key is refused, the endpoint is lost or the
        budget is spent. On an interrupt only the requests in flight are lost.
        """
        settled: dict[Request, Future[T | SetAside]] = {request: Future() for request in requests}
        with _elsewhere(self.endpoint.connect(self._pace), lambda api: self._settle_all(api, settled, parse)):
            for request in requests:
                yield settled[request].result()

    async def _settle_all(self, api: openai.AsyncOpenAI, settled: Mapping[Request, Future], parse: Callable) -> None:
        """Gives every future its answer; after a failure those that are left get that, and nothing new is begun."""
        waiting = iter(settled.items())  # shared: each request goes to one worker
        failures: list[BaseException] = []
        self._purse = Purse(self._budget, self._purse.spent)

        async def work() -> None:
            for request, future in waiting:
                try:
                    future.set_result(await self._settle(api, request, parse))
                except Exception as error:
                    failures.append(error)
                if failures:  # what is in flight elsewhere is waited for
                    return

        try:
            await asyncio.gather(*(work() for _ in range(min(self.concurrency, len(settled)))))
        except BaseException as error:  # whatever it is, nobody may wait for ever
            failures.append(error)
        for future in settled.values():
            if not future.done():
                future.set_exception(failures[0])

    async def _settle(self, api: openai.AsyncOpenAI, request: Request, parse: Callable) -> Any:
        asked, reply, reason = request, "", ""
        for attempt in range(1 + self.asked_again):
            try:
                reply = await self._reply(api, asked)
            except _NoReply as error:  # nothing to correct: the same question again
                reason = str(error)
                continue
            try:
                return parse(reply)
            except ValueError as error:
                reason = " ".join(self.endpoint.scrubbed(str(error)).split())
                asked = request.corrected(reply, reason)._replace(seed=request.seed + attempt)
        return SetAside(request, reason, reply)

    async def _reply(self, api: openai.AsyncOpenAI, request: Request) -> str:
        """The reply's text, from the journal or from the endpoint. Raises _NoReply for a response without one."""
        question = self._question(request)
        key = key_of(question)
        kept = self.journal.get(key)
        if kept is not None:
            return kept["reply"]
        expected = sum(len(text) for _, text in request.messages) // 3  # tokens, rather too many than too few
        async with self._purse.holding(self._priced(expected, request.max_tokens)):
            await asyncio.sleep(self._token_pace.wait(expected + request.max_tokens))
            body = await self._send(api, request)
            text, usage = self._read(body, request)
            entry = {"question": question, "reply": text, "usage": {n: getattr(usage, n) for n in usage.__slots__}}
            self.journal.add(key, json.loads(self.endpoint.scrubbed(json.dumps(entry))))
            self._purse.spent += usage
        return self.endpoint.scrubbed(text)

    def _question(self, request: Request) -> dict[str, Any]:
        return {"base_url": self.endpoint.base_url, "model": self.endpoint.model, **request._asdict()}

    async def _send(self, api: openai.AsyncOpenAI, request: Request) -> str:
        """The response's body. Raises _NoReply when the server will not have this one request, else UserError."""
        options: dict[str, Any] = {"response_format": {"type": "json_object"}} if request.json else {}
        try:
            raw = await api.chat.completions.with_raw_response.create(
                model=self.endpoint.model,
                messages=[{"role": role, "content": text} for role, text in request.messages],  # type: ignore[arg-type]
                temperature=request.temperature,
                max_tokens=request.max_tokens,
                seed=request.seed,
                **options,
            )
        except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
            if self.usage.requests:  # others were accepted: it is this one's content
                raise _NoReply(f"the server refuses it: {self.endpoint.words(error)}") from None
            raise self._told(error) from None
        except openai.OpenAIError as error:
            raise self._told(error) from None
        return raw.http_response.text

    def _read(self, body: str, request: Request) -> tuple[str, Usage]:
        """(text, usage) of a chat completion. Servers that count no tokens are estimated at four characters each."""
        try:
            content = json.loads(body)
            message = content["choices"][0]["message"]
            text = message.get("content") or message.get("refusal") or ""
            if not isinstance(text, str):
                raise TypeError
        except (ValueError, RecursionError):
            raise _NoReply("the response is no JSON") from None
        except (KeyError, IndexError, TypeError, AttributeError):
            raise _NoReply("the response is no chat completion") from None
        counted = content.get("usage")
        counted = counted if isinstance(counted, dict) else {}
        counts = [counted.get(name) for name in ("prompt_tokens", "completion_tokens")]
        estimates = [sum(len(turn) for _, turn in request.messages) // 4 + 1, len(text) // 4 + 1]
        tokens = [count if type(count) is int and count >= 0 else guess for count, guess in zip(counts, estimates)]
        return text, self._priced(*tokens)

    def _priced(self, input_tokens: int, output_tokens: int) -> Usage:
        into, out = self.price or (0.0, 0.0)
        return Usage(1, input_tokens, output_tokens, (into * input_tokens + out * output_tokens) / 1e6)

    def _told(self, error: openai.OpenAIError) -> UserError:
        """The one line that says what is wrong and what to do."""
        kept = (
            f" {len(self.journal)} replies are kept; the same command goes on from there." if len(self.journal) else ""
        )
        return UserError(f"{self.endpoint.scrubbed(self.endpoint.diagnosis(error))}.{kept}")


def json_object(text: str) -> dict[str, Any]:
    """The JSON object of a reply, which may stand between a model's thoughts, code fences or courtesies.

    Raises ValueError, with a reason, when there is none or it is cut.
    """
    text = _THINKING.sub("", text)
    start = text.find("{")
    if start < 0:
        raise ValueError("there is no JSON object in it")
    try:
        found, _ = json.JSONDecoder().raw_decode(text, start)
    except json.JSONDecodeError as error:
        raise ValueError(f"its JSON is malformed or cut: {error.msg} at character {error.pos - start}") from None
    except (ValueError, RecursionError):
        raise ValueError("its JSON cannot be read") from None
    return found


class _NoReply(Exception):
    """A response with nothing in it that could be corrected."""


@contextlib.contextmanager
def _elsewhere(
    api: openai.AsyncOpenAI, work: Callable[[openai.AsyncOpenAI], Coroutine[Any, Any, None]]
) -> Iterator[None]:
    """work(api) goes on in a thread of its own while the block lasts; what is left of it then is cancelled.

    An interrupt thus meets the caller's own code, and never the inside of an event loop, where it can be lost. The
    connections are closed by another task than the one that is cancelled: closing, too, can be cut off half-way.
    """
    begun: Future[Callable[[], Any]] = Future()

    async def closing() -> None:
        async with api:
            task, loop = asyncio.create_task(work(api)), asyncio.get_running_loop()
            begun.set_result(lambda: loop.call_soon_threadsafe(task.cancel))
            await asyncio.wait([task])

    thread = threading.Thread(target=lambda: asyncio.run(closing()), name="requests", daemon=True)
    thread.start()
    try:
        yield
    finally:
        with contextlib.suppress(RuntimeError):  # it has ended, and its loop with it
            begun.result()()
        thread.join()
