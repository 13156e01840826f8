# Every target sets up what it needs, once: a fresh machine wants Python >= 3.11 with venv, a C++ compiler and make.
#
#   make serve MODEL=/path/to/model.gguf PORT=9000 ARGS='--threads 4'
#   make test ARGS='-k parser'
#   make install PYTHON=/opt/python3.13/bin/python3
#   make lock ARGS=--upgrade
#   make bump VERSION=1.2.3
#   CMAKE_ARGS=-DGGML_BLAS=ON make install      the bindings are rebuilt when what they depend on changes

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VENV ?= .venv
MODEL ?=
PORT ?=
TOOLS ?=
TABLE ?=
VERSION ?=
ARGS ?=

# Set it to build the bindings for any CPU of this architecture, the fastest kernels being chosen at run time.
PORTABLE ?=

CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/functiongate
PIP = $(VENV)/bin/python -m pip --disable-pip-version-check
LOG = $(VENV)/build-llama-cpp.log

# What is installed, by version and hash; `make lock` writes it. Set LATEST to take the newest releases in its place.
LOCK = requirements
LATEST ?=
LOCKED = $(PIP) install --quiet --require-hashes --requirement
NEWEST = $(PIP) install --quiet --upgrade --upgrade-strategy eager

SUITABLE = import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c '$(SUITABLE)' 2> /dev/null && echo $$python && break; done)
NO_PYTHON = no Python >= 3.11 with venv on the PATH (Debian, Ubuntu: apt-get install python3-venv); \
	or name one: make PYTHON=/path/to/python3

# What the compiled bindings depend on; 16 hex digits of it name the wheel in the cache and the stamp in the
# environment. pip's own wheel cache knows the version alone: it would hand back a wheel built with other flags, or
# for another CPU where the home directory is shared.
BINDINGS = $(shell sed -n 's/.*"\(llama-cpp-python==[^"]*\)".*/\1/p' pyproject.toml)
CPU = $(if $(PORTABLE),,$(shell grep -E -m 1 '^(flags|Features)' /proc/cpuinfo))
FLAGS = $(if $(PORTABLE),GGML_NATIVE=OFF GGML_BACKEND_DL=ON GGML_CPU_ALL_VARIANTS=ON)
KEY := $(shell { echo '$(BINDINGS) $(FLAGS) $(CMAKE_ARGS) $(CPU)'; uname -sm; cat server/llama/*.cmake server/llama/kernels/*; \
	$${CXX:-c++} --version || true; } 2> /dev/null | sha256sum | cut -c -16)
WHEEL = $(CACHE)/wheels/$(KEY)

.PHONY: help install bindings serve test test-quantizer test-oracles lint bench bench-families bench-loops bench-parser \
	bench-tool-sets soak fuzz test-avx2 test-latest test-clients test-openresponses \
	test-conformance test-templates test-container measurements lock bump clean

help: ## list the targets
	@sed -nE 's/^([a-z0-9-]+):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

install: $(VENV)/install.stamp ## create the environment, compile llama.cpp for this CPU, install the project

bindings: $(VENV)/bindings-$(KEY).stamp ## only compile and install llama.cpp's bindings

serve: $(VENV)/install.stamp ## run the server; MODEL=, PORT= and ARGS= are optional
	@exec $(VENV)/bin/python -m server serve $(if $(MODEL),'$(MODEL)') $(if $(PORT),--port $(PORT)) $(ARGS)

test: $(VENV)/dev.stamp ## run the tests, except the slow ones; ARGS= goes to pytest
	$(VENV)/bin/python -m pytest -m 'not slow' $(ARGS)

test-latest: ## the same tests with the newest release of every dependency, in an environment of its own
	@rm -f $(VENV)-latest/install.stamp $(VENV)-latest/dev.stamp
	@$(MAKE) --no-print-directory test VENV=$(VENV)-latest LATEST=1

test-avx2: ## the tests that compute, with bindings compiled for AVX2 alone: what a processor without AVX-512 sees
	@$(MAKE) --no-print-directory test VENV=$(VENV)-avx2 CMAKE_ARGS=-DGGML_NATIVE=OFF ARGS="-m 'native and not slow' $(ARGS)"

test-quantizer: $(VENV)/dev.stamp ## a whole set from SmolLM2: files, a served tool call, the report in a browser; minutes
	$(VENV)/bin/python -m pytest tests/quantizer/test_run.py $(ARGS)

test-oracles: $(VENV)/dev.stamp ## compare with llama.cpp's own tools; TOOLS= is a folder with llama-quantize and llama-imatrix
	FUNCTIONGATE_KERNELS=0 FUNCTIONGATE_LLAMA_TOOLS='$(TOOLS)' $(VENV)/bin/python -m pytest tests/quantizer -m slow $(ARGS)

test-clients: $(VENV)/dev.stamp $(VENV)-clients/clients.stamp ## each client, in an environment of its own, gets what it asks for; MODEL=, AGENTS_MODEL=, TABLE=; needs npm
	FUNCTIONGATE_CLIENTS='$(abspath $(VENV)-clients)' FUNCTIONGATE_CLIENTS_MODEL='$(MODEL)' \
		FUNCTIONGATE_AGENTS_MODEL='$(AGENTS_MODEL)' \
		FUNCTIONGATE_CLIENTS_TABLE='$(TABLE)' \
		$(VENV)/bin/python -m pytest tests/clients -m slow --ignore=tests/clients/test_llama_server.py $(ARGS)

test-openresponses: $(VENV)/dev.stamp $(VENV)-clients/clients.stamp ## Open Responses' compliance cases; MODEL= is a GGUF file
	FUNCTIONGATE_CLIENTS='$(abspath $(VENV)-clients)' FUNCTIONGATE_CLIENTS_MODEL='$(MODEL)' \
		$(VENV)/bin/python -m pytest tests/clients/test_openresponses.py -m slow $(ARGS)

test-conformance: $(VENV)/dev.stamp $(VENV)-conformance/conformance.stamp ## schemathesis, a state machine of clients, agents' shapes; minutes; REPORT= is a JSON file
	FUNCTIONGATE_SCHEMATHESIS='$(abspath $(VENV)-conformance/bin/schemathesis)' \
		FUNCTIONGATE_CONFORMANCE_REPORT='$(REPORT)' \
		$(VENV)/bin/python -m pytest tests/conformance $(ARGS)

# llama.cpp's server tests come with the source of the bindings, in the version that is installed.
LLAMA_TESTS = $(CACHE)/llama-server-tests/$(patsubst llama-cpp-python==%,%,$(BINDINGS))
TESTS = $(LLAMA_TESTS)/vendor/llama.cpp/tools/server/tests

test-llama-server: $(VENV)/dev.stamp $(VENV)-llama-server/tests.stamp ## llama.cpp's own server tests; MODEL= is a GGUF file, TESTS= their folder
	FUNCTIONGATE_LLAMA_TESTS='$(TESTS)' FUNCTIONGATE_LLAMA_PYTHON='$(abspath $(VENV)-llama-server/bin/python)' \
		FUNCTIONGATE_LLAMA_CHAT='$(MODEL)' $(VENV)/bin/python -m pytest tests/clients/test_llama_server.py -m slow $(ARGS)

test-templates: $(VENV)/dev.stamp | $(TESTS) ## compare prompts with the vendors' own templates, which come with llama.cpp's source
	FUNCTIONGATE_TEMPLATES='$(LLAMA_TESTS)/vendor/llama.cpp/models/templates' \
		$(VENV)/bin/python -m pytest tests/chat_templates/test_vendor_templates.py -m slow $(ARGS)

lint: $(VENV)/dev.stamp ## check format, style, types and the import contracts
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy server chat_templates quantizer
	$(VENV)/bin/lint-imports

bench: $(VENV)/dev.stamp ## measure tool-call accuracy and speed; ARGS= goes to the benchmark
	$(VENV)/bin/python tests/benchmarks/bench_bfcl.py $(ARGS)

bench-families: $(VENV)/dev.stamp ## the same calls in every family's format; MODEL= is a GGUF file
	PYTHONPATH=tests $(VENV)/bin/python tests/benchmarks/bench_families.py '$(MODEL)' $(ARGS)

bench-loops: $(VENV)/dev.stamp ## whether an agent's loop ends, against a server that runs; ARGS='--url http://… --first required'
	$(VENV)/bin/python tests/benchmarks/bench_loops.py $(ARGS)

bench-parser: $(VENV)/dev.stamp ## measure how fast the parsers read; fails below half a million characters a second
	PYTHONPATH=tests $(VENV)/bin/python tests/benchmarks/bench_parser.py --minimum 0.5 $(ARGS)

bench-tool-sets: $(VENV)/dev.stamp ## what the corpus of tool sets costs before and while tools are called; fails where a bound is broken
	PYTHONPATH=tests:. $(VENV)/bin/python tests/benchmarks/bench_tool_sets.py $(ARGS)

soak: $(VENV)/dev.stamp ## thousands of requests through the engine: no cell may leak
	PYTHONPATH=tests $(VENV)/bin/python -m pytest -m slow tests/server $(ARGS)

fuzz: $(VENV)/dev.stamp ## damaged texts through every parser; ARGS='--minutes 10 --seed 1'
	PYTHONPATH=tests $(VENV)/bin/python tests/benchmarks/fuzz_parser.py $(ARGS)

measurements: ## print docs/measurements.md from the figures in docs/measurements/
	$(PYTHON) docs/measurements/table.py > docs/measurements.md

test-container: ## build the container image and make a tool call against it; ARGS= goes to the script
	bash tests/container/run.sh $(ARGS)

# One resolution for all of Python 3.11 to 3.14, every processor's wheels among the hashes. What the lock has stays as it
# is where it can: ARGS=--upgrade takes the newest releases, ARGS='--upgrade-package numpy' one of them.
COMPILE = UV_CUSTOM_COMPILE_COMMAND='make lock' $(VENV)-lock/bin/uv pip compile --quiet --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url $(ARGS)

lock: ## write the lock for what pyproject.toml asks for; ARGS=--upgrade takes the newest releases
	$(if $(PYTHON),,$(error $(NO_PYTHON)))
	@$(PYTHON) -m venv --clear $(VENV)-lock
	@$(VENV)-lock/bin/python -m pip --disable-pip-version-check install --quiet uv
	$(COMPILE) --output-file $(LOCK)/pip.txt $(LOCK)/pip.in
	$(COMPILE) --output-file $(LOCK)/build.txt $(LOCK)/build.in
	$(COMPILE) --output-file $(LOCK)/serve.txt pyproject.toml
	$(COMPILE) --output-file $(LOCK)/test.txt --constraints $(LOCK)/serve.txt --group dev pyproject.toml
	@rm -rf $(VENV)-lock

bump: ## take another llama.cpp; VERSION= is a release of llama-cpp-python; docs/bump-llama-cpp.md has what follows
	@[[ '$(VERSION)' =~ ^[0-9]+(\.[0-9]+)+$$ ]] || { echo 'VERSION= is a release of llama-cpp-python, 1.2.3 say;' \
		"not '$(VERSION)'" >&2; exit 2; }
	@cp pyproject.toml pyproject.toml.before
	sed -i 's/"llama-cpp-python==[^"]*"/"llama-cpp-python==$(VERSION)"/' pyproject.toml
	@$(MAKE) --no-print-directory lock || { mv pyproject.toml.before pyproject.toml; \
		echo 'No lock for llama-cpp-python $(VERSION): pyproject.toml is as it was' >&2; exit 1; }
	@rm pyproject.toml.before
	@git --no-pager diff --stat -- pyproject.toml $(LOCK)

clean: ## remove what make created here (the compiled bindings stay in the cache, ~/.cache/functiongate)
	rm -rf $(VENV) $(VENV)-avx2 $(VENV)-clients $(VENV)-conformance $(VENV)-latest $(VENV)-lock .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The clients have an environment of their own: they ask for other releases of what the server uses.
$(VENV)-clients/clients.stamp: tests/clients/requirements.txt $(wildcard tests/clients/node/* tests/clients/alone/*)
	$(if $(PYTHON),,$(error $(NO_PYTHON)))
	$(PYTHON) -m venv $(VENV)-clients
	$(VENV)-clients/bin/python -m pip --disable-pip-version-check install --quiet --requirement $<
	for alone in instructor smolagents; do \
		$(PYTHON) -m venv $(VENV)-clients/$$alone; \
		$(VENV)-clients/$$alone/bin/python -m pip --disable-pip-version-check install --quiet \
			--requirement tests/clients/alone/$$alone.txt; \
	done
	@mkdir -p $(VENV)-clients/node
	cp tests/clients/node/* $(VENV)-clients/node
	npm install --prefix $(VENV)-clients/node --no-audit --no-fund
	@touch $@

# Schemathesis asks for other releases of what the server uses.
$(VENV)-conformance/conformance.stamp: tests/conformance/requirements.txt
	$(if $(PYTHON),,$(error $(NO_PYTHON)))
	$(PYTHON) -m venv $(VENV)-conformance
	$(VENV)-conformance/bin/python -m pip --disable-pip-version-check install --quiet --requirement $<
	@touch $@

# They ask for other releases of what the server uses.
$(VENV)-llama-server/tests.stamp: pyproject.toml | $(TESTS)
	$(if $(PYTHON),,$(error $(NO_PYTHON)))
	$(PYTHON) -m venv $(VENV)-llama-server
	$(VENV)-llama-server/bin/python -m pip --disable-pip-version-check install --quiet \
		--requirement '$(TESTS)/requirements.txt'
	@touch $@

$(LLAMA_TESTS)/vendor/llama.cpp/tools/server/tests: | $(VENV)/pip.stamp
	@rm -rf '$(LLAMA_TESTS)'
	$(PIP) download --quiet --no-deps --no-binary llama-cpp-python --dest '$(LLAMA_TESTS)' \
		'$(BINDINGS)'
	tar --extract --gzip --strip-components 1 --directory '$(LLAMA_TESTS)' --wildcards \
		--file '$(LLAMA_TESTS)'/*.tar.gz '*/vendor/llama.cpp/tools/server/tests' '*/vendor/llama.cpp/models/templates'
	@rm '$(LLAMA_TESTS)'/*.tar.gz

$(VENV)/venv.stamp:
	$(if $(PYTHON),,$(error $(NO_PYTHON)))
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@

# The pip that came with Python may be years older; build constraints came with 25.3.
$(VENV)/pip.stamp: $(LOCK)/pip.txt | $(VENV)/venv.stamp
	$(LOCKED) $<
	@touch $@

$(WHEEL): | $(VENV)/pip.stamp
	@command -v "$${CXX:-c++}" > /dev/null || { echo 'llama.cpp needs a C++ compiler: neither CXX nor c++ names one' \
		'(Debian, Ubuntu: apt-get install g++)' >&2; exit 1; }
	@echo 'Compiling $(BINDINGS), once: two to ten minutes. The whole log: $(LOG)'
	@rm -rf $@.partial
	@$(PIP) wheel --verbose --no-cache-dir --no-deps --no-binary llama-cpp-python --wheel-dir $@.partial \
		-C 'cmake.define.CMAKE_PROJECT_llama_cpp_INCLUDE=$(CURDIR)/server/llama/bindings.cmake' \
		$(FLAGS:%=-C cmake.define.%) -C cmake.verbose=false -C ninja.make-fallback=false \
		--build-constraint $(LOCK)/build.txt --constraint $(LOCK)/serve.txt $(BINDINGS) 2>&1 \
		| tee $(LOG) | grep --line-buffered -oE '\[[0-9]+/[0-9]+\] .*' \
		|| { tail -n 40 $(LOG) >&2; echo 'The build failed; the whole log: $(LOG)' >&2; exit 1; }
	@mv $@.partial $@

$(VENV)/bindings-$(KEY).stamp: | $(VENV)/pip.stamp $(WHEEL)
	@rm -f $(VENV)/bindings-*.stamp
	$(PIP) install --quiet --force-reinstall --no-deps $(WHEEL)/*.whl
	@touch $@

$(VENV)/install.stamp: pyproject.toml $(LOCK)/serve.txt $(LOCK)/build.txt $(VENV)/bindings-$(KEY).stamp
	$(if $(LATEST),$(NEWEST) --editable .,$(LOCKED) $(LOCK)/serve.txt)
	$(if $(LATEST),,$(PIP) install --quiet --no-deps --build-constraint $(LOCK)/build.txt --editable .)
	@$(PIP) check || { echo 'The lock does not give what pyproject.toml asks for: make lock' >&2; exit 1; }
	@touch $@

$(VENV)/dev.stamp: pyproject.toml $(LOCK)/test.txt $(VENV)/install.stamp
	$(if $(LATEST),$(NEWEST) --group dev,$(LOCKED) $(LOCK)/test.txt)
	@touch $@
