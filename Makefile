# Two commands do all set-up: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

# The images and networks of demo and tests are small: more threads than cores wait for each other.
export OMP_NUM_THREADS ?= 1
WORKERS ?= 2

.PHONY: demo test coverage check docs tutorials networks package clean test-minimum

$(VENV)/.installed: setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[all]' --group test --group check
	touch $@

demo: $(VENV)/.installed
	$(BIN)/captum-pcim demo --out demo

# Each process has one half, in the order of the files, whose fixtures are then made once; which is
# done first takes from what the other has left.
test: $(VENV)/.installed
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

# Which lines and branches of the package the tests reach; docs/testing.md takes the sums.
coverage: $(VENV)/.installed
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal --cov --cov-report=term-missing:skip-covered
	$(BIN)/python docs/covered.py

# The oldest releases that setup.cfg allows, in an environment of their own. Not part of .ci/run:
# it downloads a second torch, 3 GB, each time. Run it before a release and when ranges change.
test-minimum: $(VENV)/.installed
	$(BIN)/nox --session minimum

check: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --python-version 3.13
	$(BIN)/mypy --config-file tests/mypy.ini

docs: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet -c constraints.txt --group docs
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build

# Runs the tutorials in full and writes their notebooks.
tutorials: $(VENV)/.installed
	$(BIN)/python tutorials/execute.py

# Trains the networks that ship, some minutes each, and writes their weights in place.
networks: $(VENV)/.installed
	$(BIN)/python -m benchmarks.sets.train_cnn fluorescence
	$(BIN)/python -m benchmarks.sets.train_cnn brightfield

# Without isolation: the build uses the setuptools that is installed and downloads nothing.
package: $(VENV)/.installed
	rm -rf build dist
	$(BIN)/python -m build --no-isolation
	$(BIN)/twine check --strict dist/*

clean:
	rm -rf $(VENV) .nox .coverage* demo build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
