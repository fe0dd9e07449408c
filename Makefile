# Two commands on a fresh machine with Python 3.11 or later: `make demo` and `make test`.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
DEMO   := build/demo

.PHONY: demo test lint types gpu-data gpu clean

demo: $(VENV)/installed
	mkdir -p $(DEMO)
	$(BIN)/python -m evc.models.sequencer $(DEMO)/demo.wav
	$(BIN)/evc encode --force --verify $(DEMO)/demo.wav $(DEMO)/demo.evc
	$(BIN)/evc decode --force $(DEMO)/demo.evc $(DEMO)/decoded.wav
	$(BIN)/evc stats $(DEMO)/demo.evc

test: lint
	$(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder

lint: types
	$(BIN)/ruff check .
	$(BIN)/mypy

# The packages as they are installed, for the type checker.
types: $(VENV)/installed
	rm -rf build/lib && $(BIN)/python -W ignore -c "import setuptools; setuptools.setup()" --quiet build_py

# The compiled kernels are built by this too, if there is a compiler. The last line says whether they run.
KERNELS := $(wildcard evc/kernels/*.[ch]) evc/kernels/build.py evc/format/constants.py
$(VENV)/installed: pyproject.toml constraints.txt setup.py $(KERNELS)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	rm -f evc/kernels/_native*
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	touch $@
	$(BIN)/evc --version

# What a machine with a GPU does, and before it what travels there: docs/training.md. The Python there has its own torch.
GPU_PYTHON ?= $(or $(wildcard $(BIN)/python),$(PYTHON))
GPU_OPTIONS ?=
gpu-data:
	$(GPU_PYTHON) tests/gpu.py prepare $(MUSIC) $(if $(EXCLUDE),--exclude $(EXCLUDE)) $(GPU_OPTIONS)

gpu:
	$(GPU_PYTHON) tests/gpu.py run $(if $(OUT),--out $(OUT)) $(GPU_OPTIONS)

clean:
	rm -rf build $(VENV) *.egg-info evc/kernels/_native*
