# Everything that is done here is a target: `make` alone lists them. Words after a target are passed on as they are:
#   make run MODEL=llama31 DATA=folder LIMIT=40 SET="train.lr=1e-4 train.epochs=1"

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --warn-undefined-variables --no-builtin-rules
.DEFAULT_GOAL := help

PYTHON  ?= python3#     any Python >= 3.11; only `setup` uses it
MODEL   ?= tiny-llama31# a file in jobs/configs
DATA    ?=#             a folder, a .parquet or .jsonl file, s3://…, hub:owner/name; empty: the configuration's
LIMIT   ?=#             rows per split; empty: all
SET     ?=#             overrides, "train.lr=1e-4 eval.batch_size=8"
RUNS    ?=#             run ids for compare; empty: the newest of each model
ANSWERS ?=#             a parquet file with symbol, period, prediction
OUT     ?=#             where score and collect write, and compare its copy; empty: ./collected/<run>, ./reports/<id>
ADAPTER ?=#             1: collect brings the adapter too
LOCAL   ?=#             1: processes of this machine; so it is for a folder STORE anyway
DRY_RUN ?=#             1: print the Jobs as YAML and create nothing
WAIT    ?=#             1: wait for the Job of one stage
STORE   ?=#             a folder or s3://bucket/prefix; empty: ./store
RUN     ?=#             a run's id; status without it: the newest
NAMESPACE ?=#           of the cluster; empty: the kube context's
DEEP    ?=#             1: verify hashes the base weights too
CONFIRM ?=#             1: prune deletes; empty: it only says what
REGISTRY ?=#            of the images, such as registry.example/team; empty: none
TAG     ?=#             of the images; empty: their content's hash
PUSH    ?=#             1: push the images
PART    ?=#             core, 1, 2 or 3 of the end-to-end tests; 1, 2 or 3 of the slow ones; empty: all
KUEUE   ?=#             Kueue's manifest, a file or an address

VENV := .venv
PY   := $(VENV)/bin/python
SCAN := $(VENV)-scan
DEMO_MODELS := tiny-llama31 tiny-deepseek-r1
empty :=
space := $(empty) $(empty)

ifneq ($(strip $(STORE)),)
export FINGPT_STORE := $(if $(findstring ://,$(STORE)),$(STORE),file://$(abspath $(STORE)))
endif

ifneq ($(strip $(NAMESPACE)),)
export FINGPT_NAMESPACE := $(strip $(NAMESPACE))
endif

submit = $(PY) -m jobs.submit $(1) --model $(2) $(if $(strip $(DATA)),--data '$(strip $(DATA))') \
	$(if $(strip $(LIMIT)),--limit $(LIMIT)) $(foreach pair,$(SET),--set '$(pair)') $(mode)
named = $(filter-out file,$(origin MODEL))
mode = $(if $(strip $(LOCAL)),--mode local,$(if $(strip $(DRY_RUN)),--mode dry-run,$(if $(strip $(WAIT)),--mode wait)))

.PHONY: help
help: ## print this list
	@awk 'BEGIN { FS = ":.*## " } \
	  /^## / { printf "\n%s\n", substr($$0, 4) } \
	  /^[a-z][a-z0-9-]*:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

## Develop

.PHONY: setup
setup: $(VENV)/ready ## install the locked libraries into .venv (some minutes, once)

$(VENV)/ready: requirements/dev.txt requirements/cuda.txt requirements/torch-cpu.txt requirements/pip.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "$(PYTHON) is missing or older than Python 3.11; name another: make setup PYTHON=python3.12" >&2; exit 78; }
	@echo "Installing the locked libraries into $(VENV); this takes some minutes, once."
	@[ -x $(PY) ] || $(PYTHON) -m venv $(VENV)
	@requirements/install $(PY) dev
	@touch $@

.PHONY: test
test: setup ## run the unit tests on two cores
	@$(PY) -m pytest -n 2

.PHONY: test-slow
test-slow: setup ## run the slow tests: whole runs, kill tests, several processes (PART=1, 2 or 3: a third of the kill tests)
	@$(PY) -m pytest -n 2 -m "slow and not e2e$(if $(strip $(PART)), and (part$(PART) or not (part1 or part2 or part3)))"

.PHONY: lint types
lint: setup ## check style and formatting
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
types: setup ## check types
	@$(PY) -m mypy

.PHONY: chart
chart: setup ## lint the chart and test what it renders; needs helm, 3 or 4
	@for values in minimal full; do \
	  helm lint --strict --quiet helm/fingpt-jobs -f helm/fingpt-jobs/ci/$$values-values.yaml; done
	@$(PY) -m pytest tests/helm

.PHONY: scan
scan: setup $(SCAN)/ready ## check the Dockerfiles, the Jobs of a GPU site and what the chart renders; needs helm
	@$(SCAN)/bin/hadolint --failure-threshold style images/*/Dockerfile
	@made=$$(mktemp -d) && trap 'rm -rf "$$made"' EXIT && cp -r images tests/cluster/golden/llama31-*.yaml $$made && \
	  helm template fingpt helm/fingpt-jobs -n fingpt -f helm/fingpt-jobs/ci/full-values.yaml >$$made/chart.yaml && \
	  $(SCAN)/bin/checkov --quiet --compact --skip-download --config-file .checkov.yaml -d $$made

$(SCAN)/ready: requirements/scan.txt requirements/pip.txt
	@[ -x $(SCAN)/bin/python ] || $(PYTHON) -m venv $(SCAN)
	@requirements/install $(SCAN)/bin/python scan
	@touch $@

.PHONY: e2e
e2e: setup ## test on the cluster that KUBECONFIG names, with this checkout's images (PART=core, 1, 2 or 3: a part)
	@tests/e2e/run $(PART)

.PHONY: merges lock
merges: setup ## install the official Llama-3 merges, under Meta's licence, for the golden renders
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/merges.txt
lock: setup ## solve pyproject.toml anew into requirements/*.txt, with hashes
	@$(PY) requirements/lock.py

## Data and models

.PHONY: sample
sample: setup ## write the shipped sample anew from its seed
	@$(PY) -m fingpt.synthetic.rows

.PHONY: tiny
tiny: setup ## make the base weights of a tiny MODEL and keep them in the store
	@$(PY) -m jobs.submit tiny --model $(MODEL) $(mode)

.PHONY: mirror
mirror: setup ## copy MODEL's base weights and its rows, or DATA=hub:… alone, from the hub into the store, once
	@$(PY) -m jobs.submit mirror $(if $(named),--model $(MODEL)) $(if $(strip $(DATA)),--data '$(strip $(DATA))') $(mode)

## Runs (MODEL= DATA= LIMIT= SET= STORE=)

.PHONY: prep train eval run
prep: setup ## read DATA, check it for leaks and split it
	@$(call submit,prep,$(MODEL))
train: setup ## train an adapter for MODEL; a repeated command resumes
	@$(call submit,train,$(MODEL))
eval: setup ## let MODEL answer the test rows, with and without its adapter, and score the answers
	@$(call submit,eval,$(MODEL))
run: setup ## all three, one after the other
	@$(call submit,run,$(MODEL))

.PHONY: compare
compare: setup ## compare RUNS (or each model's newest) in one report
	@$(PY) -m jobs.compare $(if $(strip $(RUNS)),--runs "$(RUNS)") $(if $(strip $(OUT)),--out '$(OUT)')

.PHONY: collect
collect: setup ## copy what RUN has reached into OUT, verified (ADAPTER=1: the adapter too)
	@$(PY) -m jobs.collect --run '$(strip $(RUN))' $(if $(strip $(OUT)),--out '$(strip $(OUT))') \
	  $(if $(strip $(ADAPTER)),--adapter)

.PHONY: score
score: setup ## score another system's ANSWERS on the rows of DATA, into OUT
	@$(PY) -m jobs.score --answers '$(ANSWERS)' --data '$(DATA)' --out '$(OUT)'

.PHONY: demo
demo: LOCAL := 1
demo: setup ## run both tiny models on the shipped sample and compare them (about five minutes)
	@$(foreach model,$(DEMO_MODELS),$(call submit,run,$(model)) &&) $(PY) -m jobs.compare

## Operate (RUN= STORE= NAMESPACE=)

.PHONY: status logs cancel list verify doctor prune
status: setup ## how a run is doing, and why something does not start
	@$(PY) -m jobs.status --run '$(strip $(RUN))'
logs: setup ## follow the log of a run over its pods and stages
	@$(PY) -m jobs.logs --run '$(strip $(RUN))'
cancel: setup ## take a RUN, or the mirror of a MODEL, off the cluster; what it has reached stays
	@$(PY) -m jobs.cancel $(if $(strip $(RUN)),--run '$(strip $(RUN))') $(if $(named),--model '$(strip $(MODEL))')
list: setup ## every run of the store and where it stands
	@$(PY) -m jobs.list
verify: setup ## hash anew all that a run's results rest on (DEEP=1: the base weights too)
	@$(PY) -m jobs.verify --run '$(strip $(RUN))' $(if $(strip $(DEEP)),--deep)
doctor: setup ## check what a run of MODEL on DATA needs: store, rights, weights, GPUs, quota
	@$(PY) -m jobs.doctor --model $(MODEL) $(if $(strip $(DATA)),--data '$(strip $(DATA))') \
	  $(foreach pair,$(SET),--set '$(pair)')
prune: setup ## name what nothing needs any more in the store (CONFIRM=1: delete it)
	@$(PY) -m jobs.prune $(if $(strip $(CONFIRM)),--confirm)

## Images and cluster (REGISTRY= TAG= PUSH=)

.PHONY: images
images: ## build the images of prep, train and eval, print their sizes
	@REGISTRY='$(strip $(REGISTRY))' TAG='$(strip $(TAG))' PUSH='$(strip $(PUSH))' images/build

.PHONY: kind-up kind-env kind-test kind-e2e kind-down
kind-up: setup images ## a kind cluster with storage, images and chart; needs docker, kind, kubectl, helm
	@k8s/kind/up
kind-env: ## print what a shell needs to use it: eval "$$(make -s kind-env)"
	@k8s/kind/up env
kind-test: setup ## a student's session there; its pods must compute the bytes of `make demo` with OMP_NUM_THREADS=1
	@tests/e2e/student
kind-e2e: ## give it what make e2e wants besides: images on every node, and Kueue (KUEUE=)
	@KUEUE='$(strip $(KUEUE))' tests/e2e/prepare
kind-down: ## delete that cluster and all that is in it
	@kind delete cluster --name fingpt

## Release

.PHONY: clean-local
clean-local: ## delete ./store, ./reports and the checkers' caches; keeps .venv
	@rm -rf store reports collected .mypy_cache .ruff_cache .pytest_cache .hypothesis
