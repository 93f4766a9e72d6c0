"""Ctrl-C between two steps instead of within one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def interrupt_between_steps() -> Iterator[Callable[[], None]]:
    """Holds a first Ctrl-C back until the function that it yields is called, which raises KeyboardInterrupt."""
    # Within a step, TensorFlow is left with scopes that cannot be closed and crashes at the program's end.
    received = False

    def receive(number: int, frame: Any) -> None:
        nonlocal received
        if received:
            raise KeyboardInterrupt
        received = True

    def check() -> None:
        if received:
            raise KeyboardInterrupt

    own = threading.current_thread() is threading.main_thread()
    if not own or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield check  # in a thread, under pytest's or a notebook's handler: as they have it
        return
    signal.signal(signal.SIGINT, receive)
    try:
        yield check
        check()
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
