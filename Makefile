# Everything is set up by these targets; nothing has to be installed by hand but Python itself.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MACE_VENV := .venv-mace
# -qq: errors only; a package index may print notices that concern nobody here.
PIP_FLAGS := -qq --disable-pip-version-check
EXTRAS := sevennet,dispersion,pyscf,sisl,test,lint,docs
DEMO := demo/Sb2Se3.run

.PHONY: setup demo test lint docs bench clean

setup: $(VENV)/.stamp

# torch first and pinned: the constraint keeps the small CPU build in place.
$(VENV)/.stamp: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install $(PIP_FLAGS) --constraint constraints.txt torch
	$(BIN)/python -m pip install $(PIP_FLAGS) --constraint constraints.txt --editable '.[$(EXTRAS)]'
	touch $@

# mace-torch and sevenn need different versions of e3nn, hence a second environment.
$(MACE_VENV)/.stamp: constraints-mace.txt
	$(PYTHON) -m venv $(MACE_VENV)
	$(MACE_VENV)/bin/python -m pip install $(PIP_FLAGS) --constraint constraints-mace.txt torch mace-torch
	touch $@

# The main job on real input: the ladder of Sb2Se3 (three and four phonons, harmonic and
# self-consistent) with the embedded potential and D3(BJ) dispersion, then bands, masses and ELF of
# the relaxed structure.
demo: $(VENV)/.stamp
	$(BIN)/elphant run examples/Sb2Se3.cif --preset quick --dispersion d3bj \
		--orders 3,4 --scp -T 300 --output $(DEMO)

# Two test processes with one thread each: more threads would only wait for each other.
test: $(VENV)/.stamp $(MACE_VENV)/.stamp
	OMP_NUM_THREADS=1 RAYON_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

lint: $(VENV)/.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.stamp
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build/html

bench: $(VENV)/.stamp
	$(BIN)/python benchmarks/three_phonons_against_phono3py.py
	$(BIN)/python benchmarks/three_phonons_against_phono3py.py --mesh 9,9,9 --bte
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/four_phonon_throughput.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/pairs_against_hamepc.py
	$(BIN)/python benchmarks/bands_against_pyscf.py --crystal si --k-mesh 3,3,3

clean:
	rm -rf $(VENV) $(MACE_VENV) demo docs/_build
