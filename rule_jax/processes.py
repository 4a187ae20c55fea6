"""Several processes that make one run: how they meet, what one of them does for all, and how they agree.

JAX is multi-controller: every process runs this program on its own devices, and all must enter the same compiled
programs in the same order. So whatever a process reads from a disk or a clock, and acts upon, is `agreed`.
"""

import contextlib
import errno
import json
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from rule_jax.errors import UserError

T = TypeVar("T")

LATER_S = 60  # after us, JAX gives a meeting up too
HEARTBEAT_S = 60  # a process that was not heard of for so long is lost, and the others end with a message


def connect(coordinator: str, count: int, number: int, meeting_s: int) -> None:
    """Joins the processes of a run; call it before anything touches a device.

    coordinator: HOST:PORT of process 0; with it, count processes and this one's number from 0. "auto" asks the
    environment (Slurm, Open MPI, TPU and GKE metadata). "": this process is alone. meeting_s: the longest wait for the
    last process to come.
    Raises UserError when the numbers make no sense, the environment says nothing, or the others cannot be met.
    """
    if not coordinator:
        if count > 1:
            raise UserError(f"--num_processes={count} needs --coordinator_address=HOST:PORT, that of process 0")
        return
    meeting: dict[str, Any] = {}
    if coordinator != "auto":
        host, _, port = coordinator.rpartition(":")
        if not host or not port.isdigit():
            raise UserError(f"--coordinator_address={coordinator}: expected HOST:PORT or auto")
        if not 0 <= number < count:
            raise UserError(f"--process_id={number} must be from 0 to --num_processes={count} less one")
        meeting = {"coordinator_address": coordinator, "num_processes": count, "process_id": number}
        if number == 0:
            _check_free(int(port))
    unmet = (
        f"the processes of this run could not meet (--coordinator_address={coordinator}): {{}}. Start the same command "
        "on every host, with process 0 at an address that all can reach and a port that is free."
    )
    jax.config.update("jax_enable_preemption_service", False)  # see preemption.py
    try:
        with _at_most(meeting_s, unmet.format(f"they were not all there within --meeting_s={meeting_s}")):
            jax.distributed.initialize(
                **meeting, initialization_timeout=meeting_s + LATER_S, heartbeat_timeout_seconds=HEARTBEAT_S
            )
    except (RuntimeError, ValueError) as error:
        raise UserError(unmet.format(" ".join(str(error).split())[:300])) from None


def _check_free(port: int) -> None:
    """Raises UserError for a port of this host on which something listens; JAX's service would end in a segfault."""
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what an earlier run has just left is free
        try:
            tried.bind(("", port))
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            raise UserError(
                f"--coordinator_address: port {port} of this host cannot be had ({error.strerror}); choose another one"
            ) from None


@contextlib.contextmanager
def _at_most(seconds: float, otherwise: str) -> Iterator[None]:
    """Ends the process, with that error, when the block takes longer. Nothing gentler reaches a thread that waits in
    JAX's runtime, which itself would abort with a stack of C++."""

    def end() -> None:
        print(f"error: {otherwise}", file=sys.stderr, flush=True)
        os._exit(2)

    watch = threading.Timer(seconds, end)
    watch.daemon = True
    watch.start()
    try:
        yield
    finally:
        watch.cancel()


def first() -> bool:
    """True in the one process that writes for all."""
    return jax.process_index() == 0


def agreed(value: Any) -> Any:
    """The first process's `value`, which JSON can hold, in every process. All must call it, in the same order."""
    if jax.process_count() == 1:
        return value
    told = np.frombuffer(json.dumps(value).encode(), np.uint8)
    size = int(multihost_utils.broadcast_one_to_all(np.int32(len(told))))
    padded = np.zeros(size, np.uint8)
    padded[: min(size, len(told))] = told[:size]
    return json.loads(np.asarray(multihost_utils.broadcast_one_to_all(padded)).astype(np.uint8).tobytes())


def gather(content: Any) -> list[Any]:
    """What each process hands over (anything that JSON can hold), in the order of the processes, on every one."""
    if jax.process_count() == 1:
        return [content]
    data = np.frombuffer(json.dumps(content).encode(), np.uint8)
    sizes = multihost_utils.process_allgather(np.asarray([len(data)])).ravel()
    padded = multihost_utils.process_allgather(np.pad(data, (0, int(sizes.max()) - len(data))))
    return [json.loads(bytes(row[:size])) for row, size in zip(padded, sizes)]


def together(work: Callable[..., T], *arguments: Any) -> T:
    """work(*arguments) of this process, once it has succeeded in all. A UserError in one is raised in every one: nobody
    waits for a process that has ended. All must call it, in the same order; the work itself may not wait for others."""
    found, fault = None, None
    try:
        found = work(*arguments)
    except UserError as error:
        fault = str(error)
    faults = [other for other in gather(fault) if other is not None]
    if faults:
        raise UserError(faults[0])
    return found  # type: ignore[return-value]


def wait(place: str) -> None:
    """Returns when every process has come to this place, so that one may read what another wrote before it."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(place)


# What JAX's runtime says when another process is gone: its collectives, and the service that no longer hears of it.
_LOSSES = ("Gloo", "heartbeat timeout", "remote task has failed")


def is_loss(error: BaseException | None) -> bool:
    """True for the error by which this process learns that another one of its run is gone, or does not come."""
    lost = isinstance(error, jax.errors.JaxRuntimeError) and any(words in str(error) for words in _LOSSES)
    return lost and jax.process_count() > 1


def leave_alone(error: BaseException) -> NoReturn:
    """Ends this process, with one line and exit code 1, because another one is gone (`is_loss`). At once: whatever
    still runs in the background waits for that one, and JAX would abort in the end."""
    words = " ".join(str(error).split())[:200]
    mend = "What was saved is kept: start the same command on every host again"
    print(f"error: another process of this run is gone or late ({words}). {mend}", file=sys.stderr, flush=True)
    os._exit(1)


def leave() -> None:
    """Parts from the other processes: they need not wonder where this one is."""
    if jax.process_count() > 1:
        jax.distributed.shutdown()
