"""A server rule on http.server alone: quick to start, so that what happens to processes can be tested often.

As a script it is the server's process.
"""

import json
import os
import signal
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from spark_build.contract import RuleParams, Server
from spark_build.serving.ledger import get


class Params(RuleParams):
    behaviour: str = "serves"  # serves | fails | never_answers | ignores_sigterm | has_children
    start_seconds: float = 0.0


class SmallServer(Server):
    Params = Params

    def command(self, model: Path, host: str, port: int) -> list[str]:
        return [
            sys.executable,
            __file__,
            str(model),
            host,
            str(port),
            self.params.behaviour,
            str(self.params.start_seconds),
        ]

    def check_ready(self, url: str) -> None:
        host, _, port = url.removeprefix("http://").partition(":")
        if get(host, int(port), "/answer")[0] != 200:
            raise ConnectionError("nobody answers")


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps({"model_digest": os.environ["SPARK_MODEL_DIGEST"], "model": sys.argv[1]}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)


def main(host: str, port: int, behaviour: str, start_seconds: float) -> None:
    if behaviour == "fails":
        sys.exit("no such weights: layer 7")
    if behaviour == "ignores_sigterm":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if behaviour == "has_children":  # one left the session, one has another environment
        for changed in ({}, {"start_new_session": True}, {"env": {}}):
            subprocess.Popen(["/bin/sleep", "300"], **changed)
    time.sleep(start_seconds)
    if behaviour == "never_answers":
        time.sleep(300)
    ThreadingHTTPServer((host, port), Handler).serve_forever()


if __name__ == "__main__":
    main(sys.argv[2], int(sys.argv[3]), sys.argv[4], float(sys.argv[5]))
