"""The mathematics: arrays in, arrays out. Imports jax and nothing of the project but this room."""
