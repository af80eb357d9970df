#!/usr/bin/env bash
# Makes .venv from a lock: infra/environment.sh requirements-dev.lock. Made to be run again after an interruption.
set -euo pipefail
lock=$1

fits() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null; }

find_python() {
    local name
    for name in ${PYTHON:-python3 python3.13 python3.12 python3.11 python}; do
        if fits "$name"; then echo "$name"; return; fi
    done
    echo "No Python 3.11, 3.12 or 3.13 was found (looked for: ${PYTHON:-python3 python3.13 python3.12 python3.11 python})." >&2
    echo "Install one, or name it: make PYTHON=/path/to/python3.11" >&2
    return 1
}

if ! fits .venv/bin/python; then
    python=$(find_python)
    echo "Making .venv with $("$python" --version), from $lock. Once; it takes a few minutes."
    if ! "$python" -m venv --clear .venv; then
        echo "$python cannot make a virtual environment. On Debian and Ubuntu: apt-get install python3-venv" >&2
        exit 1
    fi
fi
pip=(.venv/bin/python -m pip --disable-pip-version-check --quiet install)
"${pip[@]}" --requirement "$lock"
"${pip[@]}" --no-deps --no-build-isolation --editable .
