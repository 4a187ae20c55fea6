"""A real HTTP server on loopback that speaks /v1/chat/completions, and misbehaves when told to."""

import json
import socket
import struct
import sys
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "sk-loopback-0123456789abcdef"  # what tests put into the environment, and look for in every file


class FakeLLM:
    """with FakeLLM(answer, mischief) as server: ... server.base_url; as a program, `python -m tests.fake_llm PORT` is a
    judge.

    answer(body) -> the reply's text. mischief: what befalls the first calls, one name each (see _Handler); then "ok".
    A callable gets (number of the call, body) instead. bodies: every call; paid: how often each body was answered in
    full, which is what a real server charges for. authorization: the header of each call.
    """

    def __init__(
        self,
        answer: Callable[[dict[str, Any]], str] = lambda body: json.dumps({"echo": body["messages"][-1]["content"]}),
        mischief: Iterable[str] | Callable[[int, dict[str, Any]], str] = (),
        key: str = KEY,
        port: int = 0,
    ):
        self.answer, self.key, self.port = answer, key, port
        names = list(mischief) if not callable(mischief) else []
        self.mischief = mischief if callable(mischief) else lambda n, body: names[n] if n < len(names) else "ok"
        self.bodies: list[dict[str, Any]] = []
        self.paid: Counter[str] = Counter()
        self.times: list[float] = []
        self.in_flight = self.most_in_flight = 0
        self.lock = threading.Lock()

    def __enter__(self) -> "FakeLLM":
        self.server = ThreadingHTTPServer(("127.0.0.1", self.port), type("Handler", (_Handler,), {"fake": self}))
        self.server.daemon_threads = True
        self.base_url = f"http://127.0.0.1:{self.server.server_port}/v1"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    fake: FakeLLM

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        if self.authorized():
            self.send(200, json.dumps({"object": "list", "data": []}))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        fake = self.fake
        with fake.lock:
            number = len(fake.bodies)
            fake.bodies.append(body)
            fake.times.append(time.monotonic())
            fake.in_flight += 1
            fake.most_in_flight = max(fake.most_in_flight, fake.in_flight)
        try:
            if self.authorized():
                getattr(self, fake.mischief(number, body))(body)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the client was killed, or did not wait
        finally:
            with fake.lock:
                fake.in_flight -= 1

    def authorized(self) -> bool:
        if self.headers.get("Authorization") == f"Bearer {self.fake.key}":
            return True
        # A careless server repeats the key that it was given.
        self.error(401, f"Incorrect API key provided: {self.headers.get('Authorization')}")
        return False

    def ok(self, body: dict[str, Any]) -> None:
        self.send(200, self.completion(self.fake.answer(body)))
        with self.fake.lock:
            self.fake.paid[json.dumps(body, sort_keys=True)] += 1

    def tardy(self, body: dict[str, Any]) -> None:
        time.sleep(0.05)
        self.ok(body)

    def uncounted(self, body: dict[str, Any]) -> None:
        self.send(200, json.dumps({"choices": [{"message": {"content": self.fake.answer(body)}}]}))

    def busy(self, body: dict[str, Any]) -> None:
        self.error(429, "slow down", ("retry-after-ms", "5"))

    def busy_for_a_while(self, body: dict[str, Any]) -> None:
        self.error(429, "slow down", ("Retry-After", "0.2"))

    def quota(self, body: dict[str, Any]) -> None:
        self.error(429, "pay first", ("retry-after-ms", "1"), code="insufficient_quota")

    def broken(self, body: dict[str, Any]) -> None:
        self.error(500, "oops", ("retry-after-ms", "5"))

    def unknown(self, body: dict[str, Any]) -> None:
        self.error(404, "The model does not exist")

    def unacceptable(self, body: dict[str, Any]) -> None:
        self.error(400, f"I will not have this from {self.headers.get('Authorization')}")

    def slow(self, body: dict[str, Any]) -> None:
        """A byte now and then: no single read ever times out."""
        text = self.completion("late").encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        for byte in text:
            self.wfile.write(bytes([byte]))
            self.wfile.flush()
            time.sleep(0.02)

    def cut(self, body: dict[str, Any]) -> None:
        """Half a body, then a reset."""
        text = self.completion("half").encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text[: len(text) // 2])
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def garbage(self, body: dict[str, Any]) -> None:
        self.send(200, '{"choices": [{"mess')

    def another_schema(self, body: dict[str, Any]) -> None:
        self.send(200, json.dumps({"result": "hello", "choices": None}))

    def echo_key(self, body: dict[str, Any]) -> None:
        self.send(200, self.completion(json.dumps({"echo": f"your key is {self.fake.key}"})))

    def completion(self, text: str) -> str:
        return json.dumps(
            {
                "id": "x",
                "object": "chat.completion",
                "model": "fake",
                "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
            }
        )

    def error(self, status: int, message: str, *headers: tuple[str, str], code: str | None = None) -> None:
        self.send(status, json.dumps({"error": {"message": message, "type": "error", "code": code}}), *headers)

    def send(self, status: int, text: str, *headers: tuple[str, str]) -> None:
        payload = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(payload)


def rate(body: dict[str, Any]) -> str:
    """A judge's reply, the same for the same question."""
    return json.dumps({"rating": zlib.crc32(json.dumps(body["messages"]).encode()) % 11})


if __name__ == "__main__":
    with FakeLLM(rate, port=int(sys.argv[1])) as server:
        server.thread.join()
