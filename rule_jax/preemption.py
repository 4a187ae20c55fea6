"""The notice that this machine is wanted back (SIGTERM, with seconds of grace): the run saves what it has and ends.

A loop asks between two pieces of work: `due()` where there is something to save first, `stop()` elsewhere. With several
processes one notice to one of them is enough: they ask one another, and all get the same answer at the same place. JAX
has a service for that, but Orbax asks it too, by numbers of its own, and what one of two is told the other never hears:
it is off (`processes.connect`). Everything else that a run writes outlives even SIGKILL.
"""

import signal
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

# What a shell says of a program that SIGTERM ended (128 + 15). Kubeflow starts codes from 128 on again, Kubernetes jobs
# and Slurm's RequeueExit whatever they are told to; no other end of a run has this code.
EXIT_CODE = 128 + signal.SIGTERM


class Preempted(Exception):
    """The run was told to end. What it had is saved."""


class _Notice:
    """What this process knows: was it told to end?"""

    given = False


def listen() -> None:
    """From now on SIGTERM is a notice."""
    _Notice.given = False
    signal.signal(signal.SIGTERM, _take)


def _take(*_: Any) -> None:
    _Notice.given = True


def due() -> bool:
    """Is the run to end now? The same in all processes, which must all ask, in the same order."""
    if jax.process_count() == 1:
        return _Notice.given
    return bool(multihost_utils.process_allgather(np.asarray(_Notice.given)).any())


def stop() -> None:
    """Raises Preempted when the run is to end now. As `due`."""
    if due():
        raise Preempted
