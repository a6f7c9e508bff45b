# make demo   install into .venv and run the packaged demonstration
# make test   install into .venv and run the whole test suite
# make fuzz   install into .venv and try readers on made and damaged input for FUZZ_SECONDS
# make docs   install into .venv and build the documentation site into site/
# make check  install into .venv; format, lint, types, import contracts, tests

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# the CUDA build of faiss only where there is a GPU: the two wheels share a folder
EXTRA := $(shell nvidia-smi >/dev/null 2>&1 && echo gpu || echo cpu)
PIP_INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt

FUZZ_SECONDS ?= 1200

.PHONY: demo test fuzz docs check install clean

demo: $(VENV)/.installed
	$(BIN)/peakatlas demo

test: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

fuzz: $(VENV)/.installed-dev
	PEAKATLAS_FUZZ_SECONDS=$(FUZZ_SECONDS) OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/fuzz -s

docs: $(VENV)/.installed-dev
	PATH="$(CURDIR)/$(BIN):$$PATH" scripts/docs

check: $(VENV)/.installed-dev
	PATH="$(CURDIR)/$(BIN):$$PATH" scripts/check

install: $(VENV)/.installed

# torch comes first and pinned, so that no package asks for another build of it
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: Python 3.11 or newer is needed; give it as make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) torch
	$(PIP_INSTALL) -e '.[$(EXTRA)]'
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP_INSTALL) -e '.[$(EXTRA),dev]'
	touch $@

clean:
	rm -rf $(VENV) demo-output dist build site
