# Two commands do all set-up: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

# The images and networks of demo and tests are small: more threads than cores wait for each other.
export OMP_NUM_THREADS ?= 1

.PHONY: demo test check docs tutorials package clean test-minimum

$(VENV)/.installed: setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,check]'
	touch $@

demo: $(VENV)/.installed
	$(BIN)/captum-pcim demo --out demo

test: $(VENV)/.installed
	$(BIN)/python -m pytest

# The oldest releases that setup.cfg allows, in an environment of their own. Not part of .ci/run:
# it downloads a second torch, 3 GB, each time. Run it before a release and when ranges change.
test-minimum:
	$(PYTHON) -m venv $(VENV)-minimum
	$(VENV)-minimum/bin/python -m pip install --quiet -c constraints-minimum.txt -e . \
		pytest hypothesis scipy scikit-learn
	$(VENV)-minimum/bin/python -m pytest tests/test_pcim.py tests/test_solver.py tests/test_adam.py tests/test_networks.py \
		tests/test_captum_conformance.py tests/test_numerics.py tests/test_properties.py \
		tests/test_bad_input.py tests/test_model_untouched.py tests/test_scores.py tests/test_compat.py \
		tests/test_isolation.py tests/test_blending.py tests/test_references.py tests/test_smoothing.py \
		tests/test_objective.py tests/test_threads.py tests/test_cnn.py tests/test_planted.py

check: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build

# Runs the tutorials in full and writes their notebooks.
tutorials: $(VENV)/.installed
	$(BIN)/python tutorials/execute.py

# Without isolation: the build uses the setuptools that is installed and downloads nothing.
package: $(VENV)/.installed
	rm -rf build dist
	$(BIN)/python -m build --no-isolation
	$(BIN)/twine check --strict dist/*

clean:
	rm -rf $(VENV) demo build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
