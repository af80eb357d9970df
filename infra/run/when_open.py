"""Starts a command once a local port answers: `when_open PORT COMMAND…`. It takes this process's place."""

import os
import socket
import sys
import time

_PAUSE = 0.2
_PATIENCE = 120.0


def answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def main(port: str, *command: str) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not answers(int(port)):
        if time.monotonic() > deadline:
            sys.exit(f"port {port} did not answer within {_PATIENCE:.0f} s: {command[0]} was not started")
        time.sleep(_PAUSE)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(*sys.argv[1:])
