# Everything runs in .venv, made here from the lock file.
PYTHON ?= python3.11
BIN = .venv/bin
STAMP = .venv/.installed
# Python compiles what is imported, which is a small part of what is installed.
INSTALL = $(BIN)/python -m pip install --quiet --no-compile

# What runs under JAX and torch as well.
PLUGIN = tests/models tests/layers
# Checks of arguments, names and configs run under TensorFlow only.
NUMERIC = not full_size and not slow and not one_backend
# One test of every kind, in every room.
QUICK = tests/test_architecture.py tests/test_smoke.py tests/test_package.py \
	tests/test_drawing.py tests/test_conventions.py tests/layers/test_numerics.py \
	tests/export/test_options.py tests/export/test_child_process.py \
	tests/export/data tests/export/bundle tests/export/benchmarking \
	tests/export/cli/test_benchmark_table.py \
	tests/export/verification/test_columns.py \
	tests/export/verification/test_degenerate.py \
	tests/export/verification/test_parity.py \
	tests/export/verification/test_probes.py \
	tests/export/diagnosis/test_layer_comparison.py \
	tests/export/diagnosis/test_layer_reference.py \
	tests/export/diagnosis/test_tensor_matching.py \
	tests/export/quantization/test_acceptance.py \
	tests/export/quantization/test_metrics.py \
	tests/export/quantization/test_rare_columns.py \
	tests/export/quantization/test_split.py \
	tests/export/quantization/test_mixed_precision.py \
	tests/export/formats/onnx/passes \
	tests/export/formats/onnx/quantize/passes \
	tests/export/formats/tflite/test_flatbuffer.py \
	tests/export/formats/tflite/test_naming.py \
	tests/export/formats/tflite/quantize/test_calibrated_model.py
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
# What has a target, and dependencies, of its own.
OTHERS = --ignore tests/backends --ignore tests/browser
PYTEST = $(ONE_THREAD) $(BIN)/python -m pytest $(WORKERS)

.PHONY: demo quick test backends browser notebook lint mutants docs release wheel \
	runtime-only bench lock clean

demo: $(STAMP)
	mkdir -p dist
	$(BIN)/python examples/digits.py 2> dist/digits.log || { cat dist/digits.log; exit 1; }

quick: $(STAMP)
	$(PYTEST) -m "not slow and not full_size" $(QUICK)

# MARKERS=slow: those that take too long for every change; MARKERS=: all.
MARKERS = not slow
test: $(STAMP)
	$(PYTEST) -m "$(MARKERS)" $(OTHERS)

# The plugin under JAX and torch, and what goes from one backend to the other.
backends: $(STAMP)
	$(INSTALL) --requirement requirements-backends.lock
	KERAS_BACKEND=jax $(QUICK_JAX) $(PYTEST) -m "$(NUMERIC)" $(PLUGIN)
	KERAS_BACKEND=torch $(PYTEST) -m "$(NUMERIC)" $(PLUGIN)
	$(QUICK_JAX) $(PYTEST) tests/backends

# The page of examples/browser in Chromium, and the programs for Node.js.
CHROMIUM ?= /usr/bin/chromium
browser: $(STAMP)
	test -x $(CHROMIUM) || { apt-get update --quiet=2 && \
		apt-get install --yes --quiet=2 --no-install-recommends chromium; }
	for folder in examples tests; do \
		npm ci --prefix $$folder/browser --ignore-scripts --no-audit \
			--no-fund --loglevel=error || exit 1; \
	done
	CHROMIUM=$(CHROMIUM) $(ONE_THREAD) $(BIN)/python -m pytest tests/browser

# Execute the notebook of the examples and keep its outputs in the file.
notebook: $(STAMP)
	$(BIN)/python -m tests.helpers.notebooks

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Changes that no test notices, of the code that decides what is published.
MUTATION = build/mutation
mutants: $(STAMP)
	$(INSTALL) mutmut==3.8.1
	rm -rf $(MUTATION)
	mkdir -p $(MUTATION)
	cp -R export $(MUTATION)/keras_inception_export
	cp -R keras_inception_layers tests docs pyproject.toml $(MUTATION)
	cd $(MUTATION) && $(CURDIR)/$(BIN)/mutmut run --max-children 2
	cd $(MUTATION) && $(CURDIR)/$(BIN)/mutmut results

# The sdist, and the wheel that is built from it.
wheel: $(STAMP)
	rm -rf dist/wheel
	mkdir -p dist/wheel
	$(BIN)/python -m build --outdir dist/wheel > dist/build.log 2>&1 || \
		{ cat dist/build.log; exit 1; }
	$(BIN)/twine check --strict dist/wheel/*

# The site of docs/ in build/site; any warning is an error.
docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# Verify a bundle without keras and TensorFlow.
RUNTIME = numpy|onnxruntime|flatbuffers|protobuf|packaging|pydantic|pydantic-core|annotated-types|typing-extensions|typing-inspection
runtime-only: wheel
	rm -rf dist/runtime-only
	$(PYTHON) -m venv --clear dist/runtime-only/venv
	$(BIN)/python tests/helpers/make_bundle.py dist/runtime-only/bundle
	dist/runtime-only/venv/bin/pip install --quiet --no-deps dist/wheel/*.whl \
		$$(grep -oE '^($(RUNTIME))==[^ ]+' requirements.lock)
	dist/runtime-only/venv/bin/keras-inception verify dist/runtime-only/bundle
	dist/runtime-only/venv/bin/keras-inception info dist/runtime-only/bundle

# What a user would install, in environments that have nothing else.
release: wheel runtime-only
	for extra in jax export; do \
		$(PYTHON) -m venv --clear dist/release/$$extra && \
		dist/release/$$extra/bin/pip install --quiet \
			"$$(echo dist/wheel/*.whl)[$$extra]" && \
		(cd dist/release && $$extra/bin/python -I \
			../../tests/helpers/smoke.py $$extra) || exit 1; \
	done

bench: $(STAMP)
	$(BIN)/python benchmarks/layers.py
	$(BIN)/python benchmarks/export_cost.py
	$(BIN)/python benchmarks/latency.py
	$(BIN)/python benchmarks/onnx_graphs.py
	$(BIN)/python benchmarks/quantized.py

# Rebuilt when the pins or the packages' own files change. A strict editable
# install lets mypy see both packages where they are.
$(STAMP): requirements.lock pyproject.toml $(wildcard keras_inception_layers/*.py keras_inception_layers/*/*.py export/*.py export/*/*.py export/*/*/*.py export/*/*/*/*.py)
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(INSTALL) --require-hashes --requirement requirements.lock
	$(INSTALL) --no-deps --editable . --config-settings editable_mode=strict
	touch $@

# Pins what pyproject.toml allows, with the hashes of all files; a version that
# is pinned already stays. The versions for `make backends` are in a file of
# their own, without hashes: torch has several builds of one version.
lock: $(STAMP)
	$(INSTALL) uv==0.13.9
	$(BIN)/uv pip compile --quiet --generate-hashes --no-annotate \
		--custom-compile-command "make lock" --python-version 3.11 \
		--extra dev pyproject.toml --output-file requirements.lock

clean:
	rm -rf .venv build dist *.egg-info
