# Two commands: make run, make test. Each does all of its own set-up; needs Python >= 3.11 and make, nothing else.
SHELL := /bin/sh
PYTHON ?= $(shell for p in python3.14 python3.13 python3.12 python3.11 python3 python; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 \
	&& echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.set-up
TESTS ?= tests

.PHONY: run demo up test check faults mutations setup clean

run: setup
	@$(BIN)/tributary up --with-demo

demo: setup
	@$(BIN)/tributary demo

up:
	docker compose up --build

test: check
	@$(BIN)/python -m pytest $(TESTS) -n 2 --dist loadfile --no-loadscope-reorder

check: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

faults: setup
	@$(BIN)/python -m pytest tests/faults --run-long

# Plants each known bug of the protocol in a copy of the code; the test that is named beside it must fail.
mutations: setup
	@$(BIN)/python -m tests.mutations

# The stamp holds the hashes of what it was made from: nothing changed, nothing to do.
setup:
	@test -n "$(PYTHON)" || { echo "Tributary needs Python 3.11 or newer with venv: install it, or say make PYTHON=/path/to/python3."; exit 1; }
	@now=$$($(PYTHON) -c 'import hashlib, pathlib; print(hashlib.sha256(b"".join(pathlib.Path(p).read_bytes() for p in ("requirements.lock", "pyproject.toml", "jars.lock"))).hexdigest())'); \
	if [ "$$(cat $(STAMP) 2>/dev/null)" != "$$now" ]; then \
		echo "set-up: Python packages (about a minute the first time)"; \
		test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || exit 1; \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock \
			|| { echo "set-up: the packages could not be installed: check the network and run again."; exit 1; }; \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e . || exit 1; \
		$(BIN)/python -m tributary.embedded.setup || exit 1; \
		echo "$$now" > $(STAMP); echo "set-up: done"; \
	else $(BIN)/python -m tributary.embedded.setup; fi

clean:
	rm -rf $(VENV) .tributary
