"""The way to an endpoint: the key, the wire, and what its failures mean to a user."""

import asyncio
import os
import re
from dataclasses import dataclass
from typing import Any

import httpx2
import openai

from rule_jax.errors import UserError
from rule_jax.llm.limits import Pace

_SHOWN = 200  # characters of a server's words in an error
_SECRET = 8  # characters of the shortest key that is kept out of texts


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One model of one server, and how patiently it is asked. The key is in no repr."""

    base_url: str
    model: str
    api_key_env: str
    timeout_s: float
    retries: int

    def connect(self, pace: Pace, retries: int | None = None) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(
            api_key=read_key(self.api_key_env) or "none",
            base_url=self.base_url,
            max_retries=self.retries if retries is None else retries,
            http_client=Line(pace, self.timeout_s),
        )

    def scrubbed(self, text: str) -> str:
        """The text without the key, which some servers repeat. A placeholder ("ollama") is no secret and may stand."""
        key = read_key(self.api_key_env)
        return text.replace(key, "[key]") if len(key) >= _SECRET else text

    def diagnosis(self, error: openai.OpenAIError) -> str:
        """What is wrong and what to do."""
        where = self.base_url
        match error:
            case openai.AuthenticationError() | openai.PermissionDeniedError():
                held = f"the key in ${self.api_key_env}" if self.api_key_env else "a request without a key"
                return f"{where} refuses {held} (status {error.status_code}): set another one (config.llm.api_key_env)"
            case openai.RateLimitError() if error.code == "insufficient_quota":
                return f"{where} says that the quota of the account is used up: add to it, or use another key"
            case openai.RateLimitError():
                return (
                    f"{where} still says that there are too many requests after {self.retries} retries: lower "
                    "config.llm.requests_per_minute or config.llm.concurrency, or come back later"
                )
            case openai.APITimeoutError():
                return (
                    f"{where} gave no whole reply within {self.timeout_s:g} s, {self.retries + 1} times: raise "
                    "config.llm.timeout_s, or look after the server"
                )
            case openai.APIConnectionError():
                cause = str(error.__cause__ or error.__context__ or error) or type(error.__cause__).__name__
                return f"{where} cannot be reached ({cause[:_SHOWN]}): check config.llm.base_url and the network"
            case openai.NotFoundError():
                return f"{where} has no model {self.model!r}, or no chat: {self.words(error)} (config.llm.model)"
            case openai.APIStatusError() if error.status_code >= 500:
                return f"{where} fails (status {error.status_code}) after {self.retries} retries: come back later"
            case openai.APIStatusError():
                return f"{where} refuses the request (status {error.status_code}): {self.words(error)}"
        return f"{where}: {type(error).__name__}: {error}"

    def words(self, error: openai.APIStatusError) -> str:
        """A server's own words, shortened and on one line."""
        body = error.body if isinstance(error.body, dict) else {}
        text = body.get("message") or error.message
        return " ".join(self.scrubbed(str(text)).split())[:_SHOWN]


class Line(openai.DefaultAsyncHttpxClient):
    """The way to the endpoint. Every attempt, retries included, waits its turn and must be answered whole in time: the
    library's own timeout starts anew with every byte."""

    def __init__(self, pace: Pace, timeout_s: float):
        super().__init__(timeout=timeout_s)
        self.pace, self.timeout_s = pace, timeout_s

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        await asyncio.sleep(self.pace.wait())
        try:
            async with asyncio.timeout(self.timeout_s):
                return await super().send(request, **options)
        except TimeoutError:
            raise httpx2.ReadTimeout("no whole reply in time", request=request) from None


def check_url(base_url: str) -> None:
    """Raises UserError for what is no address and for one with a secret in it, which would be written to files."""
    try:
        url = httpx2.URL(base_url)
    except httpx2.InvalidURL:
        url = httpx2.URL("")
    if url.scheme not in ("http", "https") or not url.host:
        raise UserError("config.llm.base_url must begin with http:// or https:// and name a host")
    if url.userinfo or url.query or url.fragment:
        raise UserError(
            "config.llm.base_url holds a user name, a password or a query; put the key into the environment instead"
        )


def read_key(variable: str) -> str:
    """The key that the environment holds; "" for no variable. Raises UserError when there is none or it is no key, and
    where the name of the variable might be the key itself: that is not repeated."""
    if not variable:
        return ""
    if variable not in os.environ and not re.fullmatch(r"[A-Z][A-Z0-9_]*", variable):
        raise UserError(
            "config.llm.api_key_env names no environment variable that is set: it holds the variable's name, such as "
            "OPENAI_API_KEY, and never the key"
        )
    key = os.environ.get(variable, "").strip()
    if not key:
        raise UserError(
            f"the environment variable {variable} holds no key: set it, name another one with config.llm.api_key_env, "
            "or set that to '' for a server that needs none"
        )
    if not re.fullmatch(r"[!-~]+", key) or re.search(r"[\"'\\]", key):
        raise UserError(f"the environment variable {variable} holds something that cannot be a key")
    return key
