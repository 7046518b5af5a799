# Two commands: `make repro` and `make test`. The environment sets itself up in .venv.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.ready
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help setup repro verify test lint ui lab bench lock clean

help:  ## this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: $(STAMP)  ## make .venv with the exact versions of requirements.lock

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: Python 3.11 or newer is needed; try make PYTHON=python3.12"; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@$(BIN)/python -c 'import cv2' || { echo "error: OpenCV needs a system library; on Debian or Ubuntu: apt-get install libgl1 libglib2.0-0"; exit 2; }
	@touch $(STAMP)

repro: $(STAMP)  ## run the pipeline of the profile in params.yaml (default: the embedded sample)
	$(BIN)/dvc repro
	@echo
	@$(BIN)/dvc metrics show
	@git diff --quiet -- dvc.lock && echo "proof:     dvc.lock is unchanged: these are the committed results, bit by bit" \
		|| echo "proof:     dvc.lock changed: make verify says which results differ, and by how much"
	@echo "pages:     reports/*.html, report.html first; figures in reports/figures"
	@echo "tables:    results/tables (Markdown, CSV, LaTeX)"
	@cat results/tables/conclusion.txt
	@echo "results:   results/ (CSV, masks); checkpoint: models/pdnet.safetensors"
	@echo "runs:      make ui, then http://127.0.0.1:5000"

verify: $(STAMP)  ## compare the results here with the committed reference: which files differ, by how much
	$(BIN)/pdnet verify

test: lint  ## lint and tests, a process a core with one thread each
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

ui: $(STAMP)  ## MLflow on http://127.0.0.1:5000
	$(BIN)/mlflow ui --backend-store-uri $${MLFLOW_TRACKING_URI:-sqlite:///mlflow.db} --host 127.0.0.1 --port 5000

lab: $(STAMP)  ## JupyterLab on the notebooks
	$(BIN)/jupyter lab --notebook-dir notebooks

bench: $(STAMP)  ## side-by-side timings
	$(BIN)/python -m tests.bench

lock: $(STAMP)  ## write requirements.lock anew from .venv (after changing pyproject.toml)
	$(BIN)/python -m pip freeze --exclude-editable | grep -Ev '^(nvidia-|triton|cuda-|pip|setuptools|pdnet)' > requirements.lock

clean:  ## remove the environment and everything that was generated
	rm -rf .venv data/raw data/480p data/imbalance models results reports mlruns mlflow.db
