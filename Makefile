# Everything runs in .venv, made here from the lock file.
PYTHON ?= python3.11
BIN = .venv/bin
STAMP = .venv/.installed
INSTALL = $(BIN)/python -m pip install --quiet

# What runs under JAX and torch as well.
PLUGIN = tests/models tests/layers
# Each file is one worker's. They are taken in the order of tests/conftest.py,
# not by their number of tests, which leaves the long ones for the end.
WORKERS = -n 2 --dist loadfile --no-loadscope-reorder
# Unoptimized, and each operation once, XLA compiles in half the time.
QUICK_JAX = XLA_FLAGS=--xla_backend_optimization_level=0 \
	JAX_COMPILATION_CACHE_DIR=$(CURDIR)/build/jax \
	JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0 \
	JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES=-1
# Threads of two workers on two cores would wait for each other.
ONE_THREAD = OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1

.PHONY: demo test backends lint runtime-only bench lock clean

demo: $(STAMP)
	mkdir -p dist
	$(BIN)/python examples/digits.py 2> dist/digits.log || { cat dist/digits.log; exit 1; }

test: $(STAMP)
	$(ONE_THREAD) $(BIN)/python -m pytest $(WORKERS) --ignore tests/backends

# The plugin under JAX and torch, and what goes from one backend to the other.
backends: $(STAMP)
	$(INSTALL) --requirement requirements-backends.lock
	KERAS_BACKEND=jax $(QUICK_JAX) $(ONE_THREAD) \
		$(BIN)/python -m pytest $(WORKERS) -m "not full_size" $(PLUGIN)
	KERAS_BACKEND=torch $(ONE_THREAD) \
		$(BIN)/python -m pytest $(WORKERS) -m "not full_size" $(PLUGIN)
	$(QUICK_JAX) $(ONE_THREAD) $(BIN)/python -m pytest $(WORKERS) tests/backends

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Verifies a bundle where there is numpy and ONNX Runtime, and nothing else.
runtime-only: $(STAMP)
	rm -rf dist/runtime-only
	$(PYTHON) -m venv --clear dist/runtime-only/venv
	$(BIN)/python tests/export/make_bundle.py dist/runtime-only/bundle
	dist/runtime-only/venv/bin/pip install --quiet --no-deps . \
		$$(grep -E '^(numpy|onnxruntime|flatbuffers|protobuf|packaging)==' requirements.lock)
	dist/runtime-only/venv/bin/keras-inception verify dist/runtime-only/bundle
	dist/runtime-only/venv/bin/keras-inception info dist/runtime-only/bundle

bench: $(STAMP)
	$(BIN)/python benchmarks/layers.py
	$(BIN)/python benchmarks/export_cost.py
	$(BIN)/python benchmarks/latency.py
	$(BIN)/python benchmarks/onnx_graphs.py
	$(BIN)/python benchmarks/quantized.py

# Rebuilt when the pins or the packages' own files change. A strict editable
# install lets mypy see both packages where they are.
$(STAMP): requirements.lock pyproject.toml $(wildcard keras_inception_layers/*.py keras_inception_layers/*/*.py export/*.py export/*/*.py)
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(INSTALL) --requirement requirements.lock
	$(INSTALL) --no-deps --editable . --config-settings editable_mode=strict
	touch $@

# Writes down what is installed now, after `pip install -e .[dev]`. The pins of
# `make backends` have a file of their own.
lock:
	$(BIN)/python -m pip freeze --exclude-editable \
		$$(sed -n "s/^\(.*\)==.*/--exclude \1/p" requirements-backends.lock) \
		--exclude keras-inception-layers > requirements.lock

clean:
	rm -rf .venv build dist *.egg-info
