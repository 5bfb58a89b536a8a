#!/bin/sh
# The suite in .venv-lowest: the oldest libraries that pyproject.toml allows, and no torch.
# Arguments go to pytest. Tests that need an extra which is not there are skipped, and say which.
set -eu
cd "$(dirname "$0")/.."

python=${PYTHON:-python3.11}
command -v "$python" >/dev/null 2>&1 || python=python3
[ -x .venv-lowest/bin/python ] || "$python" -m venv .venv-lowest
pip() {
    .venv-lowest/bin/python -m pip --disable-pip-version-check --no-input -qq install "$@"
}
.venv-lowest/bin/python scripts/lowest.py teachers prices evaluate >.venv-lowest/lowest.txt
pip -r .venv-lowest/lowest.txt
pip 'hypothesis>=6.100,<7' 'pytest>=8.3,<10' 'pytest-socket>=0.7,<1' 'pytest-timeout>=2.3,<3' \
    'pytest-xdist>=3.6,<4' 'setuptools>=77'
pip --no-deps --no-build-isolation -e .
OMP_NUM_THREADS=1 exec .venv-lowest/bin/python -m pytest -q -n 2 --dist loadfile "$@"
