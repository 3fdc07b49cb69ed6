# Which folders a run has, and what their names say of how that is made which lies in them.
#
#   runs/demo/                         the run: retrieved, effects, scores, profiles, neutral, vectors, generations-…
#   runs/demo/random/                  a variant: what differs from the run, here from the scores on
#   runs/demo/development/             the run of the development users alone, on which settings are chosen
#   runs/demo/development/tau-0.7/     what differs with another τ
#   runs/demo/tuned/steerx-cos/        what differs with the settings that were chosen for a method
#   runs/demo/draws/3-of-3/            the run of the third of three draws of the users
#   runs/demo/draws/3-of-3/seed-1/     what differs with the seed 1
#   runs/demo/results/                 the scores of all these, and figures

empty :=
space := $(empty) $(empty)
in = $(foreach folder,$(1),$(2:%=$(folder)/%))

SEEDS   ?= 0 1 2
DRAWS   ?= 1 2 3
SHARES  ?= 3
# A seed decides which anchors are random, whose description is another's and, where tokens are drawn, which: in what
# `make seeds` repeats they are, with this temperature. 0 repeats the run as it is.
TEMPERATURE ?= 0.7
TAUS    ?= 0.6 0.7 0.8 0.9
LAMBDAS ?= 0.1 0.2 0.3 0.4 0.5 0.6 0.7 0.8
# What TUNE=1 chooses among: for the paper's models at least all that the paper's presets have. Layers hang on the model.
GRID_TAU    ?= 0.7 1.0
GRID_LAM    ?= $(LAMBDAS) $(if $(filter demo,$(PRESET)),,0.75)
GRID_GAMMA1 ?= 0.1 0.4
GRID_GAMMA2 ?= 0.1 0.4 1
GRID_LAYER  ?= $(if $(filter paper-%,$(PRESET)),20 32,$(if $(filter demo,$(PRESET)),2 3))

DEVELOPMENT := $(RUN)/development
DRAWN  := $(DRAWS:%=$(RUN)/draws/%-of-$(SHARES))
PARTS  := $(DEVELOPMENT) $(DRAWN)
RUNS   := $(RUN) $(PARTS)
SWEPT  := $(patsubst %,$(DEVELOPMENT)/tau-%,$(sort $(TAUS) $(GRID_TAU)))
TUNED  := cos steerx-cos cas steerx-cas

# What has scores of its own, descriptions of its own, vectors of its own, answers of its own.
BASES     := $(RUNS) $(SWEPT) $(RUN)/tuned/steerx-cos $(RUN)/tuned/steerx-cas
CUT       := $(call in,$(BASES),random surprisal all lexicon)
RECUT     := $(call in,$(DRAWN:%=%/random),$(SEEDS:%=seed-%))
WITHOUT   := $(call in,$(BASES),without-smoothing without-tokens)
HABITS    := $(call in,$(BASES),habits)
SCORED    := $(BASES) $(CUT) $(RECUT)
DESCRIBED := $(SCORED) $(WITHOUT)
VECTORED  := $(DESCRIBED) $(HABITS) $(RUN)/tuned/cas $(call in,$(DEVELOPMENT)/cas $(SWEPT),grid)
MIXED     := $(call in,$(SWEPT),$(GRID_GAMMA1:%=grid/gamma1-%))
VARIED    := $(CUT) $(WITHOUT) $(HABITS)
LAMBDA    := $(call in,$(DEVELOPMENT) $(filter $(DEVELOPMENT)/%,$(filter-out $(SWEPT:%=%/%),$(VARIED))),lambda)
SEEDED    := $(call in,$(DRAWN),$(SEEDS:%=seed-%))

# --- from a folder's name ---------------------------------------------------------------------------------------------

run_of   = $(firstword $(foreach run,$(PARTS) $(RUN),$(if $(filter $(run)/%,$(1)/),$(run))))
words_of = $(subst /, ,$(patsubst $(call run_of,$(1))%,%,$(1)))
without  = $(subst $(space),/,$(strip $(call run_of,$(1)) $(filter-out $(2),$(call words_of,$(1)))))
says     = $(filter $(2),$(call words_of,$(1)))

# The options of a stage that the words stand for.
said = $(foreach word,$(call words_of,$(2)),$($(1).$(word)) $(call $(1).of,$(word)))
score-tokens.random      := --method random
score-tokens.surprisal   := --method surprisal
score-tokens.all         := --method all
score-tokens.lexicon     := --method lexicon
score-tokens.of           = $(patsubst tau-%,--tau %,$(filter tau-%,$(1))) \
	$(patsubst seed-%,--seed %,$(filter seed-%,$(1)))
smooth.without-smoothing := --mode join
smooth.without-tokens    := --mode raw
build-vector.habits      := --described-by query
build-vector.cas         := --gamma1 1
build-vector.grid        := $(addprefix --layer ,$(GRID_LAYER))
build-vector.of           = $(patsubst gamma1-%,--gamma1 %,$(filter gamma1-%,$(1)))
generate.of               = $(patsubst layer-%,--layer %,$(filter layer-%,$(1))) \
	$(patsubst seed-%,--seed % --temperature $(TEMPERATURE),$(filter seed-%,$(1)))
# λ and γ2 are those that are typed, the grid's, or, without any, the preset's.
strengths = $(if $(call says,$(1),grid),$(3),$(if $(call says,$(1),tuned),,$(2)))
lams      = $(if $(call says,$(1),lambda),$(LAMBDAS),$(call strengths,$(1),$(LAM),$(GRID_LAM)))
gamma2s   = $(call strengths,$(1),$(GAMMA2),$(GRID_GAMMA2))
part      = $(if $(filter $(DRAWN),$(1)),--split test --draw $(subst -of-,/,$(notdir $(1))),--split development)

# --- what lies where --------------------------------------------------------------------------------------------------

tuned     = $(if $(call says,$(1),tuned),$(patsubst %,$(call run_of,$(1))/tuned/%.toml,$(word 2,$(call words_of,$(1)))))
preset    = $(or $(call tuned,$(1)),$(PRESET))
settings  = --run $(1) --preset $(call preset,$(1)) --overwrite
queries   = $(if $(filter $(RUN),$(call run_of,$(1))),$(QUERIES),$(call run_of,$(1))/queries.parquet)
histories = $(if $(filter $(RUN),$(call run_of,$(1))),$(HISTORIES),$(call run_of,$(1))/histories.parquet)
data_files = $(call queries,$(1)) $(if $(filter $(RUN),$(call run_of,$(1))),$(HISTORIES))
data      = --queries $(call queries,$(1)) --histories $(call histories,$(1))
retrieved = $(call run_of,$(1))/retrieved.parquet
# Of what users are steered with only random anchors hang on a seed.
unseeded  = $(if $(call says,$(1),random),,seed-%)
described_in = $(call without,$(1),lambda grid gamma1-% layer-% $(unseeded))
built_in  = $(call without,$(1),layer-% $(unseeded))
profiles  = $(if $(filter $(RUN),$(1)),$(PROFILES),$(described_in)/profiles.parquet)
vectors   = $(if $(filter $(RUN),$(1)),$(VECTORS),$(built_in)/vectors.parquet)
answers   = $(foreach each,$(2),$(1)/$(filter-out ./,$(dir $(each)))generations-$(notdir $(each)).parquet)

# --- a rule -----------------------------------------------------------------------------------------------------------

# A file, the words after `steerx` that write it, and what it is made from. It is made again when one of these is newer,
# when its words are others, or when its preset was edited, or one that this extends.
define makes
$(1): $(3) $(call as_typed,$(1),$(2)) $(PRESET_FILES) $(call tuned,$(patsubst %/,%,$(dir $(1)))) | $(READY)
	$$(STEERX) $(strip $(2))

endef

shipped      = src/steerx_cli/presets/$(1).toml
extended     = $(foreach name,$(shell awk -F '["\047]' '/^extends *=/{print $$2}' $(1)),\
	$(firstword $(wildcard $(call shipped,$(name)) $(dir $(1))$(name) $(name))))
preset_files = $(if $(filter-out $(2),$(1)),$(1) $(foreach file,$(call extended,$(1)),$(call preset_files,$(file),$(2) $(1))))
PRESET_FILES := $(foreach file,$(firstword $(wildcard $(PRESET) $(call shipped,$(PRESET)))),$(call preset_files,$(file)))

# The words are the name of an empty file, a folder each, or their checksum, if they are too many or name many files: a
# path may have 1,024 bytes on some systems, and a checksum takes a process. What make or the shell would read as its own
# in a name is written in another way.
as_typed = $(dir $(1)).settings/$(notdir $(1))/$(call named,$(subst $(RUN)/,,$(filter-out --overwrite,$(2))))/typed
named    = $(if $(word 32,$(1))$(word 8,$(filter %.parquet,$(1))),$(call summed,$(1)),$(call foldered,$(1)))
foldered = $(subst $(space),/,$(strip $(call coded,$(1))))
summed   = $(subst $(space),-,$(shell echo '$(call coded,$(1))' | cksum))
coded    = $(subst $(hash),_h,$(subst `,_b,$(subst ',_a,$(subst ",_q,$(call flat,$(1))))))
flat     = $(subst |,_p,$(subst =,_e,$(subst ;,_n,$(subst :,_c,$(subst /,_s,$(subst _,__,$(1)))))))
hash    := \#

%/typed:
	@at='$@'; of="$${at##*/.settings/}"; rm -rf "$${at%/.settings/*}/.settings/$${of%%/*}"; mkdir -p "$(@D)" && touch "$@"

# The data of a part of the users. The queries appear last, so where they are, all is.
selecting = select --preset $(PRESET) --queries $(QUERIES) --histories $(HISTORIES) --overwrite \
	--output $(1) $(call part,$(1))
$(foreach run,$(PARTS),$(eval $(call makes,$(run)/queries.parquet,$(call selecting,$(run)),$(QUERIES) $(HISTORIES))))
