"""Shapes checked by name: the axes that an argument's name promises are the axes that it must have."""

from typing import Any


def check(**arrays: Any) -> None:
    """Raises ValueError unless every `name_AXES=array` has one axis per letter and equal letters mean equal sizes.

    check(logprobs_BT=x, mask_BT=m) accepts x and m of one shape [b, t]. Works on tracers: shapes are static.
    """
    sizes: dict[str, tuple[int, str]] = {}
    for name, array in arrays.items():
        axes = name.rpartition("_")[2]
        if len(array.shape) != len(axes):
            raise ValueError(f"{name} has shape {array.shape}: expected {len(axes)} axes ({axes})")
        for axis, size in zip(axes, array.shape):
            known, where = sizes.setdefault(axis, (size, name))
            if known != size:
                raise ValueError(f"axis {axis} is {known} in {where} and {size} in {name} (shape {array.shape})")
