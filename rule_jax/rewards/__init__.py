"""Rewards: (records, texts) -> scores, on the host. One file each, with `make(**kw) -> Reward`."""
