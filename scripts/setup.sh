#!/usr/bin/env bash
# Installs the locked environment and this project into a virtual environment: scripts/setup.sh .venv
# Needs only a working Python 3.11, 3.12 or 3.13 with the venv module, and a package index. HOME may be empty or missing.
set -euo pipefail
cd "$(dirname "$0")/.."
venv="${1:-.venv}"
stamp="$venv/.installed"

say() { printf '%s\n' "$*"; }

# A name on PATH may be a shim that exists and fails, so each candidate must prove itself.
works() { "$1" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1; }

find_python() {
    local name path
    for name in "${PYTHON:-}" python3.13 python3.12 python3.11 python3 python; do
        [ -n "$name" ] || continue
        while IFS= read -r path; do
            if works "$path"; then
                printf '%s\n' "$path"
                return 0
            fi
        done < <(type -ap "$name" 2>/dev/null || true)
    done
    for path in "${HOME:-/nonexistent}"/.pyenv/versions/3.1[123].*/bin/python /usr/local/bin/python3.1[123]; do
        if [ -x "$path" ] && works "$path"; then
            printf '%s\n' "$path"
            return 0
        fi
    done
    return 1
}

if [ -x "$venv/bin/python" ] && ! works "$venv/bin/python"; then
    say "The Python of $venv does not work any more; making a new one."
    rm -rf "$venv"
fi
if [ ! -x "$venv/bin/python" ]; then
    if ! python="$(find_python)"; then
        say "No usable Python found. Slackwater accepts Python 3.11, 3.12 and 3.13 (with the venv module)." >&2
        say "On Debian and Ubuntu: apt install python3 python3-venv. Or name one: make setup PYTHON=/path/to/python3.12" >&2
        exit 1
    fi
    say "Using $("$python" --version) ($python)"
    "$python" -m venv "$venv"
fi

export PIP_DISABLE_PIP_VERSION_CHECK=1
# Certificates of the system, so that a company's own authority works in uv as it does in pip.
export UV_SYSTEM_CERTS=1 UV_NATIVE_TLS=1
# An empty or read-only HOME must not matter.
if [ ! -w "${HOME:-/nonexistent}" ]; then
    export HOME="$PWD/$venv/home" UV_CACHE_DIR="$PWD/$venv/cache" PIP_CACHE_DIR="$PWD/$venv/cache"
    mkdir -p "$HOME"
fi

locked() { awk -v name="$1" 'index($0, name "==") == 1 {found = 1} found {print; if ($0 !~ /\\$/) exit}' requirements.lock; }

install_locked() {
    if [ ! -x "$venv/bin/uv" ] && [ -n "$(locked uv)" ]; then
        locked uv >"$venv/uv.txt"
        "$venv/bin/python" -m pip install --quiet --require-hashes --no-deps -r "$venv/uv.txt" || true
        rm -f "$venv/uv.txt"
    fi
    if "$venv/bin/uv" --version >/dev/null 2>&1; then
        say "Installing the locked environment with uv (about 2.3 GB unpacked, a minute or two) ..."
        "$venv/bin/uv" pip sync --quiet --python "$venv/bin/python" --require-hashes requirements.lock && return 0
        say "uv could not; trying pip."
    fi
    say "Installing the locked environment with pip (about 2.3 GB unpacked, several minutes) ..."
    "$venv/bin/python" -m pip install --quiet --require-hashes -r requirements.lock
}

install_project() {
    local isolation=()
    "$venv/bin/python" -c 'import sys, setuptools; sys.exit(int(setuptools.__version__.split(".")[0]) < 77)' 2>/dev/null &&
        isolation=(--no-build-isolation)
    "$venv/bin/python" -m ensurepip >/dev/null 2>&1 || true
    "$venv/bin/python" -m pip install --quiet --no-deps "${isolation[@]}" --editable .
}

rm -f "$stamp"
install_locked
install_project
"$venv/bin/python" -m slackwater.spark_runtime || say "The first run of the lake's upkeep will try again."
touch "$stamp"
say "Installed. Next: make demo"
