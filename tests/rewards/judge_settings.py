"""The settings of a judge's endpoint, but for its address; the key is expected in FAKE_KEY."""

LLM = {
    "model": "fake",
    "api_key_env": "FAKE_KEY",
    "concurrency": 4,
    "requests_per_minute": 0,
    "tokens_per_minute": 0,
    "timeout_s": 5.0,
    "retries": 0,
    "asked_again": 1,
    "budget": {"requests": 0, "tokens": 0, "money": 0.0},
    "prices": (),
}
