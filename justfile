# `just --list` shows what there is.

set shell := ["bash", "-euo", "pipefail", "-c"]

python := env("PYTHON", "python3")
bin := justfile_directory() / ".venv/bin"

# Golden samples answer: the whole pipeline without a model.
demo: install
    @{{ bin }}/understudy demo

# The same by its own name; `demo` shows live generation once there is a local model.
demo-fallback: install
    @{{ bin }}/understudy demo

# Unit, broker, pipeline and documentation tests.
test *args: install-dev
    @{{ bin }}/python -m pytest {{ args }}

# The one gate: format, lint, types, import rule, generated docs, tests.
check: lint test

# Everything of `check` but the tests.
lint: install-dev
    @{{ bin }}/ruff format --check -q contracts stages infra tests
    @{{ bin }}/ruff check -q contracts stages infra tests
    @{{ bin }}/pyright --warnings
    @{{ bin }}/lint-imports --no-logo
    @{{ bin }}/python -m infra.docgen --check

# Format the code and write the generated docs.
fix: install-dev
    @{{ bin }}/ruff format -q contracts stages infra tests
    @{{ bin }}/ruff check -q --fix contracts stages infra tests
    @{{ bin }}/python -m infra.docgen

# What `.venv/` holds is stamped with the lock file and pyproject it was made from.
install: (_install "requirements.lock")

install-dev: (_install "requirements-dev.lock")

_install lock:
    #!/usr/bin/env bash
    set -euo pipefail
    stamp=.venv/{{ lock }}.sha256
    wanted=$(cat {{ lock }} pyproject.toml | sha256sum)
    if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then exit 0; fi
    [ -x {{ bin }}/python ] || {{ python }} -m venv .venv
    {{ bin }}/python -m pip install -q --disable-pip-version-check -r {{ lock }}
    {{ bin }}/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
    printf '%s' "$wanted" > "$stamp"

# Resolve pyproject anew and pin what comes out.
lock:
    #!/usr/bin/env bash
    set -euo pipefail
    for part in "requirements.lock:." "requirements-dev.lock:.[dev]"; do
        folder=$(mktemp -d)
        {{ python }} -m venv "$folder"
        "$folder/bin/pip" install -q --disable-pip-version-check "${part#*:}" hatchling editables
        {
            echo "# Made by 'just lock': every package of 'pip install ${part#*:}', pinned."
            echo "# Without hashes: wheels differ by platform, and pip would refuse those not listed."
            "$folder/bin/pip" freeze --exclude understudy
        } > "${part%%:*}"
        rm -rf "$folder"
    done
