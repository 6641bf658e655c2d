"""Ports for servers that tests start, stop and start again."""

import random
import socket
from contextlib import suppress


def free_port() -> int:
    """Below those that the system gives to whoever asks for any: a connection of another test may have taken one."""
    while True:
        port = random.SystemRandom().randrange(10_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
