# make test: set up, lint, type-check, test.   make demo: set up, run the main job.
# VENV=path reuses an environment; a clean one takes about 6 GB, most of it torch with CUDA.
# WORKERS=n processes run the tests.

VENV ?= .venv
WORKERS ?= 2
PYTHON ?= $(firstword $(wildcard $(addsuffix /python3.11,$(subst :, ,$(PATH)))) python3)
BIN = $(VENV)/bin
STAMP = $(VENV)/.hear-byola-$(shell cat requirements.lock pyproject.toml | cksum | tr ' ' -)

.PHONY: setup browser test demo lock clean

setup: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements.lock
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
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile

demo: setup
	$(BIN)/hear-byola run -m hear_byola -m harness.baselines.logmel,name=logmel \
		-m hear_byola,seed=1,name=hear_byola-random --suite demo \
		--protocol linear --protocol hear2021 --out runs/demo

# Resolves the pins anew, in an environment of its own.
lock:
	$(PYTHON) -m venv build/lock
	build/lock/bin/pip install -q --disable-pip-version-check -e '.[pretrain,report,test,events-oracle]'
	echo "# What make test and make demo install, on Linux x86-64 with Python 3.11;" \
		"written by make lock." > requirements.lock
	build/lock/bin/pip freeze --all --exclude-editable --exclude pip >> requirements.lock

clean:
	rm -rf .venv runs build dist
