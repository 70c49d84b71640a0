# `make play` and `make test` set everything up that they need, on a machine that has Python 3.11 or
# newer and make. docs/build.md says what happens when.

# The first of these that is new enough. Asked once, and only where no environment is there yet.
VENV := $(CURDIR)/.venv
RUN := $(VENV)/bin/python
ifndef PYTHON
PYTHON := $(or $(wildcard $(RUN)),$(shell \
	for name in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$name && break; done))
endif

HOST ?= 127.0.0.1
PORT ?= 8000
# A folder with GGUF files that the page offers behind its own: without a word about it, that of a
# chat model from PyPI.
MODELS ?= $(shell $(RUN) -m tools.real_model)
WITH_MODEL := $(if $(filter file,$(origin MODELS)),setup-model)

# Everything that a build leaves stays in the checkout; a home folder is not needed.
export ZIG_GLOBAL_CACHE_DIR := $(CURDIR)/build/zig
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export npm_config_cache ?= $(CURDIR)/build/npm

.DEFAULT_GOAL := help
.PHONY: help play check test setup setup-check setup-test site wheel lint lint-python lint-web lint-kernels fuzz fuzz-wasm sanitize soak bench bench-training \
	bench-gradients bench-own corpora models ensembles load load-hostile visits claims screens npm release pyodide-build lock clean

help:  ## what there is
	@sed -n 's/^\([a-z-]*\):.*##\(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 24

play: site-here $(WITH_MODEL)  ## set everything up and serve on http://127.0.0.1:8000 (HOST=, PORT=, MODELS= none or a folder)
	@THIMBLE_CACHE="$${THIMBLE_CACHE:-$(CURDIR)/build/cache}" $(RUN) server.py --host $(HOST) --port $(PORT) $(if $(MODELS),--models "$(MODELS)")

check: lint  ## lint, unit tests and kernels, in minutes and without a browser (ARGS= for pytest)
	@$(RUN) -m pytest --ignore tests/browser -m "not browser and not slow" -n auto $(ARGS)

# Three processes share the tests: while one waits for a browser another computes.
WORKERS ?= 3
test: setup-test lint  ## set everything up and run every test (WORKERS= processes, ARGS= for pytest)
	@$(RUN) -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

setup: python-is-new-enough  ## virtual environment, packages, kernels
	@$(PYTHON) -m tools.setup_env play

# A chat model for `make play`, 98 MB.
.PHONY: setup-model
setup-model: setup
	@$(RUN) -m tools.setup_env model

setup-check: python-is-new-enough  ## the same and what `make check` needs
	@$(PYTHON) -m tools.setup_env check

setup-test: python-is-new-enough  ## the same and what all tests need, PyTorch and browsers included
	@$(PYTHON) -m tools.setup_env test

.PHONY: python-is-new-enough
python-is-new-enough:
	@$(or $(PYTHON),python3) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	echo "Thimble needs Python 3.11 or newer; $(or $(PYTHON),python3) is" \
	"$$($(or $(PYTHON),python3) --version 2>&1). Install one, or name it: make PYTHON=/path/to/it" \
	>&2; exit 1; }

site: setup  ## build/site: what a browser gets (THIMBLE_PYODIDE_MIRROR= a folder with NumPy's wheel)
	@$(RUN) -m tools.build_site

# The same for looking at it on this machine: its large files are packed less tightly.
.PHONY: site-here
site-here: setup
	@$(RUN) -m tools.build_site --quick

wheel: site  ## build/wheels: the wheel for Pyodide and the native one, which brings the page along
	@$(RUN) -m tools.build_wasm_wheel
	@$(RUN) -c "import backend; print('build/wheels/' + backend.build_wheel('build/wheels'))"

npm: setup  ## build/npm-package: the API and the widget, packed for npm
	@$(RUN) -m tools.npm_package

release: site  ## build/release: wheels, source distribution and npm package of one version, with SHA-256
	@$(RUN) -m tools.release

lint: setup-check lint-python lint-web lint-kernels  ## ruff, mypy, tsc, the C compiler's warnings

lint-python: setup-check
	@$(RUN) -m ruff check --quiet .
	@$(RUN) -m ruff format --quiet --check .
	@$(RUN) -m mypy

lint-web: setup-check
	@$(RUN) -m tools.lint_web

lint-kernels: setup-check
	@$(RUN) -m tools.lint_kernels

fuzz: setup-test  ## a million broken files of every format (ARGS= for tests.fuzz)
	@PYTHONPATH=pyodide_pkg nice $(RUN) -m tests.fuzz $(ARGS)

fuzz-wasm: setup-test  ## the same inputs to the page's build, under Node, and a million links
	@PYTHONPATH=pyodide_pkg nice $(RUN) -m tests.fuzz.wasm $(ARGS)
	@THIMBLE_LINKS=1000000 nice $(RUN) -m pytest -q tests/test_web_units.py -k hostile-links

sanitize: setup-test  ## the kernels' tests and fuzzers with AddressSanitizer and UBSan (ARGS= for tools.sanitize)
	@nice $(RUN) -m tools.sanitize $(ARGS)

soak: setup-test  ## generations, sessions, switches and training: memory stays flat (ARGS= for tools.soak)
	@nice $(RUN) -m tools.soak $(ARGS)

bench: setup-test site  ## speed beside wllama, transformers.js and llama.cpp (ARGS= for bench)
	@$(RUN) -m bench $(ARGS)

bench-training: setup-test site  ## how fast it trains, in Chromium and beside PyTorch
	@$(RUN) -m bench.training

bench-gradients: setup-test site  ## how fast gradients flow back through a model, in Chromium
	@$(RUN) -m bench.gradients

bench-own: setup-test site  ## models of 135M to 0.5B parameters beside wllama (ARGS= for bench/own.py)
	@$(RUN) -m bench --only own $(ARGS)

corpora: setup  ## build/corpora: the texts that the training panel offers
	@$(RUN) -m tools.corpora

models: setup  ## the shipped models, trained again from the texts in DATA (ARGS= for tools.train_models)
	@$(RUN) -m tools.train_models --data $(or $(DATA),../shared/data) $(ARGS)

ensembles: setup-test  ## docs/bench/ensembles: what several models as one bring (DATA=, ARGS=)
	@$(RUN) -m bench.ensembles --data $(or $(DATA),../shared/data) $(ARGS)

load: site  ## requests a second on one core, into docs/deploy (ARGS= for tools.load_test)
	@$(RUN) -m tools.load_test $(ARGS)

load-hostile: site  ## the same while others mean it ill (ARGS= for tools.load_hostile)
	@$(RUN) -m tools.load_hostile $(ARGS)

visits: setup-test site  ## bytes and requests of a visit, into docs/deploy
	@$(RUN) -m tools.visit_report $(ARGS)

claims: setup-test site  ## docs/claims.md: one real run of the eleven claims (ARGS= for tools.claims_report)
	@$(RUN) -m tools.claims_report $(ARGS)

screens: setup-test site-here  ## build/screens: the page in every state (ARGS= for tools.screens)
	@$(RUN) -m tools.screens $(ARGS)

pyodide-build: setup  ## the wheel by `pyodide build` (Python 3.12+; downloads a cross-build environment)
	@$(RUN) -m pip install --quiet --require-hashes --requirement requirements/pyodide.txt
	@$(VENV)/bin/pyodide build pyodide_pkg --outdir build/pyodide-build

lock: setup  ## refresh requirements/*.txt and web/package-lock.json
	@$(RUN) -m tools.lock

clean:  ## remove what was built; .venv and node_modules stay
	@rm -rf build dist pyodide_pkg/build pyodide_pkg/thimble/_kernels.*
