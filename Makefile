# On a machine with Python 3.11+, pip and make:
#   make train              train the main job on a local cluster (chief, 2 workers, 2 ps)
#   make train ARGS='...'   the same with options of models/gpt_lm.py (ARGS=--help lists them)
#   make test               run the tests, in TEST_PROCESSES=2 processes
#   make docs               build the documentation's site in build/docs
# The first run of train or test makes .venv from the versions in requirements.lock; a later one installs nothing again.

PYTHON ?= python3
ARGS ?=
# A process of the tests has a cluster of its own, and keeps one processor busy.
TEST_PROCESSES ?= 2

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# The site needs neither TensorFlow nor Keras: an environment of its own is made in seconds.
DOCS_VENV := .venv-docs
DOCS_INSTALLED := $(DOCS_VENV)/.installed

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help train test test-slow test-all lint docs clean
.DEFAULT_GOAL := help

help:
	@echo 'make train      train the main job on a local cluster; options in ARGS'
	@echo 'make test       run the tests, the slow ones and those for root left out'
	@echo 'make test-slow  run the tests that make test leaves out'
	@echo 'make test-all   run all tests'
	@echo 'make lint       run ruff, mypy, import-linter and hadolint'
	@echo 'make docs       build the documentation in build/docs'
	@echo 'make clean      remove .venv and caches; runs/ stays'

# Bad options are an error of one process, before there are five. Help is asked for once.
train: $(INSTALLED)
	@$(BIN)/python -m models.gpt_lm --check-only $(ARGS)
	$(if $(filter -h --help,$(ARGS)),,@$(BIN)/tfps local --ps 2 --workers 2 --threads-per-worker 1 -- \
		$(BIN)/python -m models.gpt_lm $(ARGS))

test: $(INSTALLED)
	@$(BIN)/python -m pytest -m "not slow and not root" -n $(TEST_PROCESSES) --dist worksteal

test-slow: $(INSTALLED)
	@$(BIN)/python -m pytest -m "slow or root"

test-all: test test-slow

lint: $(INSTALLED)
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/hadolint Dockerfile

docs: $(DOCS_INSTALLED)
	@NO_MKDOCS_2_WARNING=1 $(DOCS_VENV)/bin/python -m mkdocs build --quiet --strict
	@echo 'build/docs/index.html is the front page. Search needs a server:'
	@echo '$(PYTHON) -m http.server --directory build/docs'

clean:
	rm -rf $(VENV) $(DOCS_VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp comes last, so an install that was cut short starts again.
$(INSTALLED): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if v >= (3, 11) else \
		f"tfps needs Python 3.11 or newer, and $(PYTHON) is {v[0]}.{v[1]}: make PYTHON=python3.11 ...")'
	@echo 'Installing the versions of requirements.lock into $(VENV) (once; some minutes)'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --requirement requirements.lock
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(DOCS_INSTALLED): requirements-docs.lock
	@$(PYTHON) -m venv $(DOCS_VENV)
	@$(DOCS_VENV)/bin/python -m pip install --quiet --requirement requirements-docs.lock
	@touch $@
