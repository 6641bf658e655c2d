"""moto's S3 in a process of its own: any keys will do and no policy holds, so that it proves logic only."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.services.service import NAMES, Service, new_user


@contextmanager
def running() -> Iterator[Service]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        url = "http://{}:{}".format(*server.get_host_and_port())
        yield Service(url, {name: new_user(name) for name in NAMES})
    finally:
        server.stop()
