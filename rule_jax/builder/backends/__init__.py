"""Who writes the queries: `make(run, wording, base, **options) -> Backend`, one file each; base is the model that is to
forget, or None where none is given.

openai: an endpoint over HTTP. policy: the model that is to forget itself; nothing leaves the machine. table: entities
and rules; offline and deterministic.
"""
