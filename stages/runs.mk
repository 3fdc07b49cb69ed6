# What a researcher does with the stages: sections 5.2 to 5.4 of the paper, and the controls that they lack.

STEERXES := steerx-cos steerx-cas

# The files that each named run compares, and those of its controls.
in_lambda = $(foreach each,$(1),$(filter-out ./,$(dir $(each)))lambda/$(notdir $(each)))
of_method = $(foreach method,$(1),$(method) $(2:%=%/$(method)))
in_tuned  = $(foreach method,$(TUNED),$(call answers,$(RUN)/tuned/$(method),$(if $(1),$(controls.$(method)),$(method))))
at_tau    = $(foreach tau,$(TAUS),$(call answers,$(DEVELOPMENT)/tau-$(tau),$(1)))

compared.table        := $(call answers,$(RUN),$(METHODS))
beside.table          := $(call answers,$(RUN),$(call controls_of,$(METHODS)))
compared.tuned        := $(call answers,$(RUN),non-perso rag) $(call in_tuned)
beside.tuned          := $(call in_tuned,controls)
compared.ablations    := $(call answers,$(RUN),rag $(call of_method,$(STEERXES),without-smoothing without-tokens))
beside.ablations      := $(call answers,$(RUN),$(call controls_of,$(STEERXES)))
compared.lexicon      := $(call answers,$(RUN),rag $(call of_method,$(STEERXES),lexicon))
beside.lexicon        := $(beside.ablations)
compared.controls     := $(call answers,$(RUN),rag cas $(STEERXES)) $(beside.table)
compared.sweep-tau    := $(call answers,$(DEVELOPMENT),rag) $(call at_tau,steerx-cos)
# No τ decides what all tokens are, or the true habits.
without_tau           := $(filter all/% habits/%,$(controls.steerx-cos))
beside.sweep-tau      := $(call at_tau,$(filter-out $(without_tau),$(controls.steerx-cos))) \
	$(call answers,$(DEVELOPMENT),$(without_tau))
compared.sweep-lambda := $(call answers,$(DEVELOPMENT),rag lambda/steerx-cos)
beside.sweep-lambda   := $(call answers,$(DEVELOPMENT),$(call in_lambda,$(controls.steerx-cos)))

# The scores of a named run, without its controls and with them: CONTROLS=1 shows those.
RESULTS  := $(RUN)/results
SWEEPS   := sweep-tau sweep-lambda
COMPARED := table tuned ablations lexicon controls $(SWEEPS)
asked_of  = $(if $(filter $(SWEEPS),$(1)),$(DEVELOPMENT),$(RUN))
on_split  = $(if $(filter $(SWEEPS),$(1)),--split development)
compare   = $(call scored,$(RESULTS)/$(1)$(3).parquet,$(call asked_of,$(1)),$(2),$(call on_split,$(1)))
$(foreach each,$(COMPARED),$(eval $(call compare,$(each),$(compared.$(each)))))
$(foreach each,$(COMPARED),$(eval $(call compare,$(each),$(compared.$(each)) $(beside.$(each)),-controls)))
shown     = $(RESULTS)/$(1)$(if $(CONTROLS),-controls)

# Pictures of them: bars, or curves along a setting.
along   = $(patsubst sweep-%,--along %,$(filter sweep-tau,$(1))) $(patsubst %,--along lam,$(filter sweep-lambda,$(1)))
drawing = $(call makes,$(1).svg,report $(1).parquet --output $(1).svg $(2),$(1).parquet)
$(foreach each,ablations lexicon controls $(SWEEPS),$(foreach with,$(each) $(each)-controls,$(eval \
	$(call drawing,$(RESULTS)/$(with),$(call along,$(each))))))

# The grid, on development users, and what is chosen among it for each method.
tried.cos        := $(call answers,$(DEVELOPMENT),grid/cos)
tried.steerx-cos := $(call answers,$(DEVELOPMENT),$(GRID_TAU:%=tau-%/grid/steerx-cos))
tried.cas        := $(call answers,$(DEVELOPMENT),$(GRID_LAYER:%=cas/grid/layer-%/cas))
tried.steerx-cas := $(call answers,$(DEVELOPMENT),$(call in,$(call in,$(GRID_TAU:%=tau-%/grid),\
	$(GRID_GAMMA1:%=gamma1-%)),$(GRID_LAYER:%=layer-%/steerx-cas)))
TRIED := $(DEVELOPMENT)/grid
trying   = $(call scored,$(TRIED)/$(1).parquet,$(DEVELOPMENT),$(tried.$(1)),--split development --metric meteor)
choosing = $(call makes,$(RUN)/tuned/$(1).toml,choose $(TRIED)/$(1).parquet --method $(1) --preset $(PRESET) \
	--output $(RUN)/tuned --overwrite,$(TRIED)/$(1).parquet)
$(foreach method,$(TUNED),$(eval $(call trying,$(method)))$(eval $(call choosing,$(method))))

# Effects on what was generated, as Figure 6 shows them.
GENERATED := $(RUN)/generated
explaining = score-tokens $(call settings,$(GENERATED)) $(call data,$(RUN)) --retrieved $(call retrieved,$(RUN)) \
	--over generations --generations $(RUN)/generations-rag.parquet $(SCORE_TOKENS) $(ANCHORS)
$(eval $(call makes,$(GENERATED)/scores.parquet,$(explaining),\
	$(RUN)/generations-rag.parquet $(call retrieved,$(RUN)) $(call data_files,$(RUN))))
pictured = $(call makes,$(RESULTS)/$(1).svg,report $(2) --output $(RESULTS)/$(1).svg > /dev/null,$(2))
$(eval $(call pictured,effects,$(GENERATED)/scores.parquet))
$(eval $(call pictured,effects-of-histories,$(RUN)/scores.parquet))

# The table of each seed and draw.
# Of draws/3/random/steerx-cos the one with the seed 1 is draws/3/random/seed-1/steerx-cos.
with_seed = $(foreach name,$(2),$(filter-out ./,$(dir $(name)))seed-$(1)/$(notdir $(name)))
repeated = $(call scored,$(1)/seed-$(2)/table$(3).parquet,$(1),$(call answers,$(1),\
	$(call with_seed,$(2),$(METHODS) $(4))))
$(foreach run,$(DRAWN),$(foreach seed,$(SEEDS),$(eval $(call repeated,$(run),$(seed)))$(eval \
	$(call repeated,$(run),$(seed),-controls,$(call controls_of,$(METHODS))))))

# --- the targets ------------------------------------------------------------------------------------------------------

SHOWN := ablations lexicon controls $(SWEEPS)
.PHONY: table effects seeds $(SHOWN)

# What is typed goes before a preset, and the chosen settings are presets: both cannot be meant.
typed_too = $(filter $(1),$(2))
CHOSEN := $(call typed_too,--tau% --top-percent%,$(ANCHORS)) $(call typed_too,--gamma1% --layer%,$(BUILD_VECTOR)) \
	$(call typed_too,--lam% --gamma2% --layer%,$(GENERATE)) $(if $(LAM)$(GAMMA2),LAM and GAMMA2)
ifdef TUNE
$(if $(strip $(CHOSEN)),$(error TUNE=1 chooses what $(strip $(CHOSEN)) would set: leave that out, or set GRID_… in its place))
$(if $(GRID_LAYER),,$(error TUNE=1 tries layers of the model: name some, as in GRID_LAYER="12 16"))
endif

## table: the paper's Table 1 for PRESET on DATA; TUNE=1 chooses settings on development users, CONTROLS=1 shows controls
table: $(call shown,$(if $(TUNE),tuned,table)).parquet
	@$(if $(TUNE),tail -n +1 $(TUNED:%=$(RUN)/tuned/%.toml))
	@$(call table,$<)

## ablations: SteerX without smoothing, and without tokens (Figure 4)
## sweep-tau: SteerX(CoS) with other τ, on development users (Figure 5)
## sweep-lambda: SteerX(CoS) with other λ, on development users (Figure 5)
## lexicon: the anchors of the causal effect beside the words of a lexicon (Figure 7)
## controls: SteerX and CAS beside all that has to be worse if their claim is true
define shows
$(1): $(call shown,$(1)).parquet $(call shown,$(1)).svg
	@$$(call table,$$<)
	@echo 'picture: $(call shown,$(1)).svg'
endef
$(foreach each,$(SHOWN),$(eval $(call shows,$(each))))

## effects: how the causal effect is spread over what was generated, and over histories (Figure 6)
effects: $(RESULTS)/effects.svg $(RESULTS)/effects-of-histories.svg
	@$(STEERX) report $(GENERATED)/scores.parquet
	@$(STEERX) report $(RUN)/scores.parquet
	@echo 'pictures: $^'

## seeds: the table for three SEEDS and three DRAWS of users, tokens drawn at TEMPERATURE=0.7, and how far all that is apart
seeds: $(SEEDED:%=%/table$(if $(CONTROLS),-controls).parquet)
	@$(STEERX) report $^
