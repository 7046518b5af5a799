# Two commands: `make repro` and `make test`. The environment sets itself up in .venv.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.ready
# errors alone: a warning here is about somebody's configuration of pip
PIP := $(BIN)/python -m pip --quiet --quiet --disable-pip-version-check
HALF := $(PIP) install --require-hashes --no-deps --no-build-isolation --no-compile
# what looks after the packages has an environment of its own: .venv is what gets locked
TOOLS := build/tools
SMOKE := $(CURDIR)/build/smoke
SET := import sys; from dvc.utils.hydra import apply_overrides; apply_overrides('params.yaml', sys.argv[1:])
export PATH := $(CURDIR)/$(BIN):$(PATH)
# the stages' kernels, so that a training can be repeated bit by bit
FIXED := $(shell sed -n 's/^ *- kernels: //p' dvc.yaml)
# of the network for people: its input at use and what its header says; of DAVIS's clips, crowds twice, and less
# of what people ride
PEOPLE := --side 320 --note 'segment={"threshold": 0.5, "people": "largest", "look": "near"}' \
	--note 'data=Clothing Co-Parsing, PASCAL VOC 2012 with SBD masks, Penn-Fudan (1,538 photographs); ten DAVIS-2016 clips' \
	--note 'terms=research and non-commercial use: DAVIS is CC BY-NC 4.0, the photographs are for research'
CLIPS := breakdance: 2.0, breakdance-flare: 2.0, horsejump-high: 0.5, motocross-jump: 0.5, soapbox: 0.5
NEED_DATA = test -d "$(DATA)" || { echo "error: DATA=/path/to/trees says where the folders people and davis2016_people are"; exit 2; }
# goes on from the first training's network
ON = $(FIXED) pdnet train --out $(@D) -S train.start=$<
# nobody is told what is done here; MLflow's and Hugging Face's names for it
export MLFLOW_DISABLE_TELEMETRY ?= true
export DO_NOT_TRACK ?= true
# set-up leaves it to the first import to compile a module: without this every process would
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup repro smoke study left-out people experiments verify test test-ui attack lint ui lab app bench lock audit clean

help:  ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: $(STAMP)  ## make .venv with the exact versions of requirements.lock

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: Python 3.11 or newer is needed; try make PYTHON=python3.12"; exit 2; }
	$(PYTHON) -m venv .venv
	@# first what builds packages, so that nothing unchecked is fetched while one is built
	sed -n '/^setuptools==/,/[^\\]$$/p' requirements.lock | $(PIP) install --require-hashes --no-deps -r /dev/stdin
	@# in two halves at once, since unpacking is most of it: torch with what it brings for GPUs, and the rest;
	@# the lock names all there is, and modules compile themselves when they are first imported (most never are)
	@mkdir -p build
	awk '/^[^ ]/ {large = /^(torch==|triton|nvidia-|cuda-)/} large' requirements.lock > build/large.lock
	awk '/^[^ ]/ {large = /^(torch==|triton|nvidia-|cuda-)/} !large' requirements.lock > build/small.lock
	$(HALF) -r build/large.lock & large=$$!; \
		$(HALF) -r build/small.lock || { kill $$large; exit 1; }; wait $$large
	$(PIP) check
	$(PIP) install --no-deps --no-build-isolation --editable .
	@$(BIN)/python -c 'import cv2' || { echo "error: OpenCV needs a system library; on Debian or Ubuntu: apt-get install libgl1 libglib2.0-0"; exit 2; }
	@touch $(STAMP)

repro: $(STAMP)  ## run the pipeline of the profile in params.yaml (default: the embedded sample)
	$(BIN)/dvc repro
	@echo
	@$(BIN)/dvc metrics show
	@git diff --quiet -- dvc.lock && echo "proof:     dvc.lock is unchanged: these are the committed results, bit by bit" \
		|| echo "proof:     dvc.lock changed: make verify says which results differ, and by how much"
	@echo "pages:     reports/index.html leads to all; figures in reports/figures"
	@echo "tables:    results/tables (Markdown, CSV, LaTeX)"
	@cat results/tables/conclusion.txt
	@echo "results:   results/ (CSV, masks); checkpoint: models/pdnet.safetensors"
	@echo "runs:      make ui"

smoke: $(STAMP)  ## every stage with the profile `tiny`, in a copy of the files as they are: build/smoke
	@rm -rf $(SMOKE) && mkdir -p $(SMOKE)
	@git ls-files -z --cached --others --exclude-standard | tar --null -T - -cf - | tar -xf - -C $(SMOKE)
	@# a project of its own without git: results, experiments and runs here stay as they are
	@cd $(SMOKE) && dvc config --local core.no_scm true && python -c "$(SET)" profile=tiny 'ablation.run=[full,no-ipda,one-part]' $(ARGS)
	cd $(SMOKE) && PYTHONPATH=$(SMOKE) dvc repro && dvc metrics show

study: $(STAMP)  ## the study of motion: whole trainings on casts, hours; it can be stopped and goes on; ARGS="--shard 1/2"
	$(FIXED) $(BIN)/pdnet study $(ARGS)

left-out: $(STAMP)  ## filmed clips, each scored by networks trained without it, hours: DATA=/path/to/trees (docs/people.md); ARGS as above
	@$(NEED_DATA)
	$(FIXED) $(BIN)/pdnet left-out -S profile=people -S "data.root=$(DATA)" $(ARGS)

people: models/people/people.safetensors  ## the network for real footage from its data, hours: DATA=/path/to/trees (docs/people.md)

models/people/start.safetensors: | $(STAMP)
	@$(NEED_DATA)
	dvc exp run -S profile=people -S "data.root=$(DATA)" train
	@mkdir -p $(@D)
	pdnet ship models/pdnet.safetensors -o $@ $(PEOPLE)

models/people/photographs/pdnet.safetensors: models/people/start.safetensors
	$(ON) -S 'model.input_size=[320, 320]' -S train.epochs=8 -S train.steps_per_epoch=30 -S train.image_run=5 \
		-S train.lr_image=0.00012 -S train.lr_video_backbone=0.00012 -S train.lr_video_heads=0.0004 \
		-S train.zoom=0.7 -S 'train.sample_weights={voc: 2.5, ccp: 0.5, $(CLIPS)}'

models/people/both/pdnet.safetensors: models/people/start.safetensors
	$(ON) -S seed=1 -S 'model.input_size=[320, 320]' -S train.epochs=9 -S train.steps_per_epoch=30 -S train.image_run=4 \
		-S train.lr_image=0.00012 -S train.lr_video_backbone=0.00012 -S train.lr_video_heads=0.0004 \
		-S train.zoom=0.7 -S 'train.sample_weights={voc: 2.5, ccp: 0.5, $(CLIPS)}'

models/people/clips/pdnet.safetensors: models/people/start.safetensors
	$(ON) -S seed=2 -S 'model.input_size=[320, 320]' -S train.epochs=8 -S train.steps_per_epoch=64 -S train.image_run=1 \
		-S train.lr_image=0.0001 -S train.lr_video_backbone=0.0001 -S train.lr_video_heads=0.00033 \
		-S train.zoom=1.0 -S 'train.sample_weights={voc: 2.0, ccp: 0.6, $(CLIPS)}'

# a checkpoint that is named twice weighs twice: 2, 3 and 2 of seven
models/people/people.safetensors: $(foreach name,photographs both clips,models/people/$(name)/pdnet.safetensors)
	pdnet ship $(foreach name,photographs photographs both both both clips clips,models/people/$(name)/pdnet.safetensors) \
		-o $@ $(PEOPLE)

experiments: $(STAMP)  ## dvc exp show without columns of hashes; ARGS="--only-changed" and other options
	@dvc exp show --no-pager --drop '([^:]+/[^:]+|params.yaml|notebooks|pdnet|pipelines)$$' $(ARGS)

verify: $(STAMP)  ## compare the results here with the committed reference: which files differ, by how much
	$(BIN)/pdnet verify

test: lint  ## lint and tests, a process a core with one thread each
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto

attack: $(STAMP)  ## ten thousand hostile cases, and kills of every stage, in half an hour; prints a table
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.attack

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

ui: $(STAMP)  ## MLflow on the runs, side by side; PORT=5000 is the first port that is tried
	$(BIN)/pdnet ui $(if $(PORT),--port $(PORT))

lab: $(STAMP)  ## JupyterLab on copies of the notebooks in explore/; nothing that is tracked changes
	$(BIN)/pdnet lab $(if $(PORT),--port $(PORT))

app: $(STAMP)  ## the notebook `explore` as an app on http://127.0.0.1:8866, or the next free port
	$(BIN)/pdnet app $(if $(PORT),--port $(PORT))

test-ui: $(STAMP) build/ui/.ready  ## the widgets in headless Chromium (needs chromium and what `make repro` leaves)
	PDNET_UI=1 PYTHONPATH=build/ui $(BIN)/python -m pytest tests/ui -p no:xdist -s

# beside .venv, which is what gets locked
build/ui/.ready: Makefile | $(STAMP)
	$(PIP) install --target build/ui playwright==1.65.2
	@touch $@

bench: $(STAMP)  ## side-by-side timings
	$(BIN)/python -m tests.bench

lock: $(STAMP) $(TOOLS)/.ready  ## write requirements.lock anew from .venv (after changing pyproject.toml), in minutes
	@# a freeze on Linux: torch needs CUDA's packages there alone, ipykernel needs appnope on macOS alone
	$(BIN)/python -m pip freeze --all --exclude-editable --exclude pip > build/pins.txt
	echo appnope==0.1.4 >> build/pins.txt
	$(TOOLS)/bin/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras --no-annotate --no-header \
		--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --output-file build/hashed.txt build/pins.txt
	echo "# Written by \`make lock\`: every package with the SHA-256 of each of its files." > requirements.lock
	sed -E -e '/^(#|$$)/d' -e 's/^((nvidia-|cuda-|triton)[^ ]*)/\1 ; platform_system == "Linux"/' \
		-e 's/^(appnope[^ ]*)/\1 ; platform_system == "Darwin"/' build/hashed.txt >> requirements.lock
	@touch $(STAMP)

audit: $(STAMP) $(TOOLS)/.ready  ## known weaknesses of the locked packages; licences that someone should look at
	@$(TOOLS)/bin/pip-audit --strict --disable-pip --require-hashes --progress-spinner off -r requirements.lock \
		> build/audit.txt 2>&1 && echo "audit:     no known weakness" || { \
		grep -q '^Found' build/audit.txt && cat build/audit.txt && exit 1; \
		echo "audit:     not done, the data on weaknesses could not be had: $$(tail -n 1 build/audit.txt | cut -c -160)"; }
	@echo "licences:  missing, proprietary or with a duty to share, as the packages state them"
	@$(TOOLS)/bin/pip-licenses --python $(BIN)/python --from mixed --order license --no-version \
		| grep -E 'GPL|MPL|EPL|EUPL|General Public|Mozilla|[Pp]roprietary|UNKNOWN'

$(TOOLS)/.ready: Makefile | $(STAMP)
	$(BIN)/python -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check pip-audit==2.10.1 pip-licenses==5.5.5 pip-tools==7.6.2
	@touch $@

clean:  ## remove the environment and everything that was fetched or generated
	rm -rf .venv build data/raw data/480p data/flow data/imbalance data/kept data/archives models results reports mlruns mlartifacts mlflow.db mlflow.db.lock
