"""Asking a language model over HTTP: an OpenAI-compatible endpoint, paid for once."""
