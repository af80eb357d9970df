"""A service to supervise. `steady` lives on, if STUBBORN with a child that will not end; `crashing` dies."""

import os
import subprocess
import sys
import time

_STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("child up", flush=True)
time.sleep(600)
"""


def main(kind: str) -> None:
    sys.stdout.write(f"\x1b[31m{kind}\x1b[0m says: é\r\nhalf a line")
    sys.stdout.flush()
    if kind == "crashing":
        sys.exit(3)
    if kind == "steady":
        if "STUBBORN" in os.environ:
            subprocess.Popen([sys.executable, "-c", _STUBBORN])
        sys.stdout.write(" and the rest\n")
        time.sleep(600)


if __name__ == "__main__":
    main(sys.argv[1])
