# The pipeline and its checks. Each target that `make` lists has its help in the line above it.
# Written for GNU make 3.81 (macOS) and newer.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STEERX  = "$(BIN)/steerx"
READY  := $(VENV)/ready
PEERS  := $(VENV)/peers

# What a run is about; `make table RUN=runs/mine DATA=my/data PRESET=my.toml` (names without spaces).
PRESET ?= demo
DATA   ?= data/demo
RUN    ?= runs/$(notdir $(basename $(PRESET)))
HISTORIES ?= $(DATA)/histories.parquet
QUERIES   ?= $(DATA)/queries.parquet
PROFILES  ?= $(RUN)/profiles.parquet
VECTORS   ?= $(RUN)/vectors.parquet

.DEFAULT_GOAL := help
.PHONY: help demo demo-world demo-habits demo-model demo-gate demo-anchors demo-results wordnet
.PHONY: check format test bench bench-steering bench-gpu readme clean

## help: this list
help:
	@awk '/^## /{line=substr($$0,4); at=index(line,": "); printf "  make %-14s %s\n", substr(line,1,at-1), substr(line,at+2)}' $(MAKEFILE_LIST)

STAGES := retrieve score-tokens smooth build-vector generate evaluate
include stages/folders.mk $(STAGES:%=stages/%/stage.mk) stages/runs.mk

## demo: the main job on the data in data/demo: all stages, all six methods, what came out, and the table of them
demo: $(RUN)/scores.parquet $(RUN)/profiles.parquet $(call answers,$(RUN),$(METHODS)) $(call shown,table).parquet
	@$(STEERX) show $(RUN)/scores.parquet --rows 1
	@$(STEERX) show $(RUN)/profiles.parquet --rows 3
	@$(STEERX) show $(RUN)/generations-steerx-cas.parquet --rows 1 --chain
	@$(call table,$(call shown,table).parquet)

# What these make is in the repo, so no other target runs demo-world, demo-model, demo-gate, demo-anchors or wordnet.
## demo-world: make the demo's histories, queries and truth again from their seed, byte for byte
demo-world: $(READY)
	"$(BIN)/python" -m steerx_cli.demo world data/demo

## demo-habits: write the true habits of the demo's people as profiles, for `generate --method steerx-cos --profiles`
demo-habits: $(RUN)/habits/profiles.parquet
$(foreach folder,$(HABITS),$(folder)/profiles.parquet): | $(READY)
	"$(BIN)/python" -m steerx_cli.demo habits $(@D)

## demo-model: train the demo's language model, three quarters of an hour, or go on where that was stopped
demo-model: $(READY)
	"$(BIN)/python" -m steerx_cli.demo model data/demo --work runs/demo-model

## wordnet: make the table of METEOR's synonyms again, from Debian's wordnet-base or WORDNET=…
WORDNET ?= /usr/share/wordnet
wordnet: $(READY)
	"$(BIN)/python" -m steerx_cli.metrics.wordnet.build "$(WORDNET)"

## demo-gate: measure what the demo's model has learnt, and write the table into data/demo/README.md
demo-gate: $(READY)
	"$(BIN)/python" -m steerx_cli.demo gate data/demo

ANCHORS := runs/demo-anchors
# The effects of a context are measured once, and the anchors of every method cut from them.
define anchors
$(STEERX) retrieve --preset demo --run $(ANCHORS)/$(1) --overwrite $(2)
$(STEERX) score-tokens --preset demo --run $(ANCHORS)/$(1) --overwrite $(3)
set -e; for method in causal random surprisal lexicon all; do \
	$(STEERX) score-tokens --preset demo --effects $(ANCHORS)/$(1)/effects.parquet --method $$method \
	--output $(ANCHORS)/$(1)/scores-$$method.parquet --overwrite --quiet; done
endef

## demo-anchors: hold the anchors of every method against the truth, and write the tables into data/demo/README.md
demo-anchors: $(READY)
	$(call anchors,retrieved)
	$(call anchors,all,--retriever all,--context all)
	"$(BIN)/python" -m steerx_cli.demo anchors data/demo --run $(ANCHORS)

WORLD ?= data/demo
RESULTS_SHOWN := table.parquet table-controls.parquet tuned-controls.parquet \
	$(foreach each,ablations lexicon $(SWEEPS),$(each).parquet $(each).svg) effects.svg effects-of-histories.svg
## demo-results: all of the paper's runs on the demo, an hour, and what came out of them into data/demo/README.md
demo-results: $(RESULTS_SHOWN:%=$(RESULTS)/%) $(SEEDED:%=%/table.parquet)
	"$(BIN)/python" -m steerx_cli.demo results $(WORLD) --run $(RUN) --repeated $(SEEDED:%=%/table.parquet)

data/demo/%.parquet:
	@echo '$@ is not there: `make demo-world` writes it' >&2; exit 1

## check: format, lint, types and import contracts
check: $(READY)
	"$(BIN)/ruff" format --check .
	"$(BIN)/ruff" check .
	"$(BIN)/mypy"
	"$(BIN)/lint-imports"

## format: put the code into its one format
format: $(READY)
	"$(BIN)/ruff" format .
	"$(BIN)/ruff" check --fix .

## test: all tests
test: $(READY)
	"$(BIN)/pytest" --numprocesses auto

## bench: speed and memory as ratios, written to tests/bench/results
bench: $(READY)
	"$(BIN)/python" tests/bench/artifacts.py
	"$(BIN)/python" tests/bench/data.py
	"$(BIN)/python" tests/bench/score_tokens.py
	"$(BIN)/python" tests/bench/generate.py
	"$(BIN)/python" tests/bench/evaluate.py

## bench-steering: steered hidden states beside two toolkits, which it installs into a folder of their own, once
bench-steering: $(PEERS)/ready
	PYTHONPATH=$(PEERS) "$(BIN)/python" tests/bench/steering.py

## bench-gpu: decoding on a GPU, with what PYTHON has (torch, transformers, pyarrow); nothing is installed
bench-gpu:
	"$(PYTHON)" tests/bench/generate_gpu.py

## readme: run the README's session again, write down what it prints, and draw its picture
readme: $(READY)
	"$(BIN)/python" tests/readme.py

## clean: remove the environment (your runs and data stay)
clean:
	rm -rf $(VENV) dist

# The environment: made once, and again when what it is made from changes.
$(READY): pyproject.toml .ci/constraints.txt
	@echo 'Installing into $(VENV): a minute or two, once.'
	@$(PYTHON) -m venv $(VENV)
	@PIP_CONSTRAINT=.ci/constraints.txt "$(BIN)/python" -m pip install --quiet --disable-pip-version-check --no-compile \
		--editable '.[dev]'
	@"$(BIN)/python" -m compileall -qq -j 0 $(VENV)/lib || true # on every core; some files are for a newer Python
	@touch $@

# What is measured beside steerx, for no other target: without dependencies, on top of the environment that is there.
$(PEERS)/ready: .ci/peers.txt | $(READY)
	@rm -rf $(PEERS)
	@"$(BIN)/python" -m pip install --quiet --disable-pip-version-check --target $(PEERS) --no-deps --only-binary :all: \
		--requirement .ci/peers.txt
	@touch $@
