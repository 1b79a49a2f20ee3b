# Each target makes the environment that it needs; nothing but make and a
# Python 3.11 to 3.13 has to be there. PYTHON=... picks another interpreter.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.PHONY: help demo test test-slow test-lowest serving-check lint audit bench \
    docs clean

export TF_CPP_MIN_LOG_LEVEL ?= 3
export PIP_DISABLE_PIP_VERSION_CHECK := 1

VENV := .venv
LOWEST := .venv-lowest
PEERS := .venv-bench
AUDIT := .venv-audit
BIN := $(VENV)/bin
METADATA := pyproject.toml setup.py

# The first interpreter that runs (a shim may be there and fail) and fits.
FITS := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))
FIND_PYTHON := for python in $(PYTHON) python3 python3.13 python3.12 \
    python3.11; do \
      if "$$python" -c "$(FITS)" >/dev/null 2>&1; then break; fi; python=; \
    done; \
    if [ -z "$$python" ]; then \
      echo "No Python 3.11, 3.12 or 3.13 found: install one, or name it with" \
        "make PYTHON=/path/to/python3" >&2; exit 1; \
    fi

help:
	@echo "make demo         train and compare the models of recipes/digits.py"
	@echo "make test         the tests, without the slow ones"
	@echo "make test-slow    the slow tests"
	@echo "make test-lowest  the tests, on the oldest versions that we allow"
	@echo "make serving-check  exports, in the C++ loader of TF Serving"
	@echo "make lint         style, types, imports and spelling"
	@echo "make audit        known holes in what we depend on"
	@echo "make bench        step time and memory, beside Keras and TorchJD"
	@echo "make docs         the guides and the reference, as a site in runs/site"
	@echo "make clean        remove environments and caches"

demo: $(VENV)/.base
	$(BIN)/keras-mtl compare recipes/digits.py

test: $(VENV)/.test
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow"

test-slow: $(VENV)/.test
	$(BIN)/python -m pytest -n 2 --dist loadfile -m slow

# Old packages use what newer ones beside them have deprecated.
test-lowest: $(LOWEST)/.test
	$(LOWEST)/bin/python -m pytest -n 2 --dist loadfile -m "not slow" \
	  -W ignore::DeprecationWarning

# Builds a C++ program against the installed TensorFlow: needs g++.
serving-check: $(VENV)/.test
	$(BIN)/python -m pytest tests/serving/test_native.py

lint: $(VENV)/.lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell

# Asks PyPI, or OSV with AUDIT_SERVICE=osv, about every version that is in the
# environment of the tests. Fails if a hole is known, or if nobody answers:
# pip-audit itself takes a service that knows no package for good news.
AUDIT_SERVICE := pypi
audit: $(VENV)/.test $(AUDIT)/.audit
	@rm -f $(AUDIT)/found.json
	@$(AUDIT)/bin/pip-audit --skip-editable --progress-spinner off \
	  --vulnerability-service $(AUDIT_SERVICE) --timeout 15 \
	  --path $(VENV)/lib/python3*/site-packages \
	  --format json --output $(AUDIT)/found.json > $(AUDIT)/log.txt 2>&1 || true
	@$(AUDIT)/bin/python -c '$(HOLES)' $(AUDIT)/found.json || { \
	  echo "See $(AUDIT)/log.txt; AUDIT_SERVICE=osv asks another." >&2; exit 1; }

HOLES := import json, pathlib, sys; \
    file = pathlib.Path(sys.argv[1]); \
    found = json.loads(file.read_text())["dependencies"] if file.exists() else []; \
    asked = [p for p in found if "vulns" in p]; \
    holes = [(p["name"], p["version"], v["id"], "mended in", v["fix_versions"]) \
      for p in asked for v in p["vulns"]]; \
    [print(*hole) for hole in holes]; \
    print(len(asked), "packages audited,", len(holes), "known holes") if asked \
      else print("Nothing was audited: the service of vulnerabilities gave", \
      "no answer. Try again with a network."); \
    sys.exit(bool(holes) or not asked)

# See benchmarks/README.md for parts of it; BENCH_OUT=... picks the folder.
BENCH_OUT := runs/bench
bench: $(VENV)/.test $(PEERS)/.peers
	mkdir -p $(BENCH_OUT)
	$(BIN)/python benchmarks/step_time.py \
	  --markdown $(BENCH_OUT)/step_time.md --json $(BENCH_OUT)/step_time.json
	$(BIN)/python benchmarks/peers.py --peer-python $(PEERS)/bin/python \
	  --markdown $(BENCH_OUT)/peers.md --json $(BENCH_OUT)/peers.json
	$(BIN)/python benchmarks/memory.py \
	  --markdown $(BENCH_OUT)/memory.md --json $(BENCH_OUT)/memory.json

docs: $(VENV)/.docs
	$(BIN)/python docs/generate.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo "The site is in runs/site: open runs/site/index.html"

clean:
	rm -rf $(VENV) $(LOWEST) $(PEERS) $(AUDIT) build dist *.egg-info \
	  .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Stamps: one for each set of packages, remade when the metadata change.
$(VENV)/.base: $(METADATA)
	@$(FIND_PYTHON); "$$python" -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/.test $(VENV)/.lint $(VENV)/.docs: $(VENV)/.%: $(VENV)/.base
	$(BIN)/python -m pip install --quiet --editable ".[$*]"
	touch $@

# Every lower bound `name>=version` of pyproject.toml as `name==version`.
PIN := import pathlib, tomllib; \
    project = tomllib.loads(pathlib.Path("pyproject.toml").read_text())["project"]; \
    wanted = project["dependencies"] + project["optional-dependencies"]["test"]; \
    print("\n".join(line.replace(">=", "==") for line in wanted))

$(LOWEST)/.test: $(METADATA)
	@$(FIND_PYTHON); "$$python" -m venv $(LOWEST)
	$(LOWEST)/bin/python -c '$(PIN)' > $(LOWEST)/pins.txt
	$(LOWEST)/bin/python -m pip install --quiet \
	  --requirement $(LOWEST)/pins.txt --editable .
	touch $@

# Apart from what it audits.
$(AUDIT)/.audit: $(METADATA)
	@$(FIND_PYTHON); "$$python" -m venv $(AUDIT)
	$(AUDIT)/bin/python -m pip install --quiet "pip-audit>=2.9,<3"
	touch $@

# PyTorch stays apart from TensorFlow: neither's pins then bind the other.
$(PEERS)/.peers: benchmarks/peers.txt
	@$(FIND_PYTHON); "$$python" -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --requirement $<
	touch $@
