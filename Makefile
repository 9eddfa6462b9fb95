# make test: set up, lint, type-check, test.   make demo: set up, run the main job.
# VENV=path reuses an environment; a clean one takes about 6 GB, most of it torch with CUDA.

VENV ?= .venv
PYTHON ?= $(firstword $(wildcard $(addsuffix /python3.11,$(subst :, ,$(PATH)))) python3)
BIN = $(VENV)/bin
STAMP = $(VENV)/.hear-byola-$(shell cat requirements.lock pyproject.toml | cksum | tr ' ' -)

.PHONY: setup test demo lock clean

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

test: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q

demo: setup
	$(BIN)/hear-byola run -m hear_byola -m harness.baselines.logmel,name=logmel \
		-m hear_byola,seed=1,name=hear_byola-random --suite demo \
		--protocol linear --protocol hear2021 --out runs/demo

# Resolves the pins anew, in an environment of its own.
lock:
	$(PYTHON) -m venv build/lock
	build/lock/bin/pip install -q --disable-pip-version-check -e '.[pretrain,test,events-oracle]'
	echo "# What make test and make demo install, on Linux x86-64 with Python 3.11;" \
		"written by make lock." > requirements.lock
	build/lock/bin/pip freeze --all --exclude-editable --exclude pip >> requirements.lock

clean:
	rm -rf .venv runs build dist
