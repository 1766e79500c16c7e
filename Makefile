# `make` lists the commands. Each works alone on a clean clone.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
BUILT := $(VENV)/.built
NATIVE := $(wildcard csrc/* csrc/*/*)
CPP := $(wildcard csrc/*.h csrc/*.cpp csrc/*/*.h csrc/*/*.cpp csrc/*/*.cu tests/native/*.cpp)
CPP += $(wildcard tests/native/cuda_emulator/*.* tests/native/cuda_emulator/*/*.*)
CPP += benchmarks/planted_race.cu
# Where every line and every branch has to be tested: what selects, counts and saves.
EXACT := dsr/selection dsr/distributions dsr/reallocate dsr/checkpoint_state dsr/checkpoint_parts
EXACT += dsr/checkpoints dsr/checkpoint_files dsr/serialize dsr_kernels/fractions dsr_kernels/layout
EXACT += dsr_kernels/mask dsr_kernels/checks dsr_kernels/ops/* dsr_kernels/reference/*
TRITONS ?= triton==3.6.0 triton
TRITON_TESTS := tests/test_triton_compile.py tests/test_triton_interpreter.py
RUNS ?= runs
WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help env build train test test-tritons kernel-resources coverage lint format bench
.PHONY: test-gpu bench-gpu clean

help:  ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' Makefile

env: $(INSTALLED)  ## create .venv and install the package in place, with all its tools

build: $(BUILT)  ## compile what changed in csrc

train: $(BUILT)  ## compare methods on the built-in digits: a table and a picture
	$(BIN)/dsr compare --methods static,set,dsr --sparsity .9,.98 --seeds 0-1 --out $(RUNS)

test: $(BUILT)  ## run the tests
	@$(BIN)/python -m pytest -n $(WORKERS)

test-tritons: $(BUILT)  ## run the Triton tests with the oldest Triton supported and the newest
	@for triton in $(TRITONS); do \
		$(BIN)/python -m pip install --quiet --upgrade --target build/$$triton \
			"$$triton" $$(case $$triton in *3.6*) echo 'numpy<2.4';; esac) && \
		PYTHONPATH=build/$$triton $(BIN)/python -c 'import triton; print(triton.__version__)' && \
		PYTHONPATH=build/$$triton $(BIN)/python -m pytest -n $(WORKERS) $(TRITON_TESTS) || exit 1; \
	done

kernel-resources: $(BUILT)  ## compile every GPU kernel, or OPS="..", and write down what it takes
	@$(BIN)/python tests/kernel_resources.py $(OPS)

coverage: $(BUILT)  ## run the tests and report what they reach; fails where that is too little
	@$(BIN)/python -m pytest -n $(WORKERS) --cov --cov-report=
	@$(BIN)/coverage report
	@$(BIN)/coverage report --fail-under=100 --include="$$(echo $(EXACT:%='*/%.py') | tr ' ' ,)"

lint: $(INSTALLED)  ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/clang-format --dry-run -Werror $(CPP)
	$(BIN)/mypy

format: $(INSTALLED)  ## rewrite the sources in the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(CPP)

bench: $(BUILT)  ## time the ops on this CPU beside what people use today
	@$(BIN)/python -m benchmarks.run --device cpu

test-gpu:  ## run the op tests on a GPU, with the python3 on PATH; no network, no .venv
	@PYTHONPATH=.:python $(PYTHON) -m benchmarks.gpu test

bench-gpu:  ## time the ops on a GPU, likewise
	@PYTHONPATH=.:python $(PYTHON) -m benchmarks.gpu bench

clean:  ## remove what was built (.venv stays)
	rm -rf build dist *.egg-info dsr_kernels/*.so $(BUILT)
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

$(INSTALLED): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[train,dev]'
	@touch $@ $(BUILT)  # the installation has compiled csrc

$(BUILT): $(INSTALLED) setup.py $(NATIVE)
	@$(BIN)/python setup.py --quiet build_ext --inplace
	@touch $@
