# demo, test, check and integrations each set up their own environment from a bare clone.
VENV ?= .venv
BIN := $(VENV)/bin
PYTHON ?= python3
# Where torch comes from: empty is pip's own setting; PyTorch's CPU index avoids CUDA on Linux.
TORCH_INDEX ?=
STAMP := $(VENV)/.installed

.PHONY: demo test check integrations train-mini paper clean

demo: $(STAMP)
	$(BIN)/clamr-rag demo

test: $(STAMP)
	$(BIN)/python -m pytest

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Builds all wheels and runs the integrations' tests outside of the source tree, in an environment of their own.
integrations:
	PYTHON="$(PYTHON)" TORCH_INDEX="$(TORCH_INDEX)" bash integrations/check_wheels.sh

# torch first, pinned, so that nothing else brings its newest build.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt \
		$(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

# Remakes the weights of mini-vl; 1 to 1 1/2 hours on two cores that know bfloat16, 3 to 4 on others.
# What is broken off goes on from runs/mini.
train-mini: $(STAMP)
	$(BIN)/python -m eval.mini.train --folder runs/mini --out clamr_rag/encoder/mini_vl.safetensors
	rm -r runs/mini

# The paper in miniature: trains three seeds with two scorers, and compares. Hours, or ten minutes per file
# of weights with START=FILE, weights whose last stage is done anew.
START ?=
paper: $(STAMP)
	$(BIN)/python -m eval.paper.train --folder runs/paper $(if $(START),--start $(START))
	$(BIN)/python -m eval.paper --folder runs/paper

clean:
	rm -rf $(VENV)
