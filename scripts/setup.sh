#!/bin/sh
# Make .venv: Python, the pinned packages, this project (editable). `make setup` calls it.
# PYTHON names the interpreter; without it, the newest suitable one is taken. UV=no keeps to pip.
set -eu
cd "$(dirname "$0")/.."

suitable() {
    "$1" -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
        >/dev/null 2>&1
}

find_python() {
    for name in ${PYTHON:+"$PYTHON"} python3.13 python3.12 python3.11 python3; do
        if suitable "$name"; then
            echo "$name"
            return
        elif [ "$name" = "${PYTHON:-}" ]; then
            break
        fi
    done
    echo "setup: found no Python 3.11, 3.12 or 3.13 with venv${PYTHON:+ at $PYTHON};" \
        "name one: make setup PYTHON=/path/to/python3" >&2
    return 1
}

# uv is several times as quick, but reads its own settings and not pip's: pip has the last word.
uv_installs() {
    [ "${UV:-}" != no ] && command -v uv >/dev/null 2>&1 &&
        uv pip install --quiet --python .venv/bin/python "$@" 2>/dev/null
}

install() {
    uv_installs "$@" || .venv/bin/python -m pip --disable-pip-version-check --no-input -qq \
        install --no-warn-conflicts "$@"
}

has_torch() {
    .venv/bin/python -c 'import importlib.metadata as m; m.version("torch")' >/dev/null 2>&1
}

has_nvidia_driver() {
    [ -e /proc/driver/nvidia/version ] || command -v nvidia-smi >/dev/null 2>&1
}

# PyTorch's own index of CPU builds, if it answers within 3 seconds.
cpu_index() {
    url=https://download.pytorch.org/whl/cpu
    timeout 3 .venv/bin/python -c "import urllib.request as r; r.urlopen('$url/torch/')" \
        >/dev/null 2>&1 && echo "$url"
}

# Linux without an NVIDIA driver: torch's plain build would bring several GB of CUDA packages.
install_cpu_torch() {
    build="torch==$(sed -n 's/^torch==//p' constraints.txt)+cpu"
    install --no-deps "$build" 2>/dev/null && return
    url=$(cpu_index) && install --no-deps --index-url "$url" "$build" 2>/dev/null && return
    echo "setup: no index here has $build; installing the plain build: 6 GB in all"
}

if ! suitable .venv/bin/python; then
    python=$(find_python)
    echo "setup: making .venv with $("$python" --version)"
    "$python" -m venv --clear .venv
fi
echo "setup: installing pinned packages; the first time this takes some minutes"
if [ "$(uname -s)" = Linux ] && ! has_torch && ! has_nvidia_driver; then
    install_cpu_torch
fi
if has_torch; then # whichever build it is, it stays
    sed '/^torch==/d' constraints.txt >.venv/constraints.txt
else
    cp constraints.txt .venv/constraints.txt
fi
install -c .venv/constraints.txt setuptools # torch lacks its own until the next line
install -c .venv/constraints.txt --no-build-isolation -e '.[dev]'
echo "setup: done, $(du -sh .venv | cut -f1) in .venv; next: make demo"
