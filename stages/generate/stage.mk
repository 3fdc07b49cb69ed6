# Each method has a file of its own, and so has each control of it.
METHOD  ?= cos
SIX     := non-perso rag cos steerx-cos cas steerx-cas
METHODS ?= $(SIX)
OTHERS  := steerx-cos-other $(foreach method,cas steerx-cas,$(method)-other $(method)-mean)

# What each SteerX has to be better than: it is given what knows nothing of the user, or of the causal effect.
STEERX_BY := random surprisal all
# On the demo's data, whose people are made up, the true habits stand beside it.
CEILING := $(if $(filter data/demo,$(patsubst ./%,%,$(DATA:%/=%))),habits)
controls.cas        := cas-other cas-mean
controls.steerx-cos := steerx-cos-other $(patsubst %,%/steerx-cos,$(STEERX_BY) $(CEILING))
controls.steerx-cas := steerx-cas-other steerx-cas-mean $(patsubst %,%/steerx-cas,$(STEERX_BY) $(CEILING))
controls_of = $(foreach method,$(1),$(controls.$(method)))

## generate: what the model writes for each query, by METHOD=non-perso, rag, cos, …, cas-other, random/steerx-cos, …
.PHONY: generate neutral
generate: $(call answers,$(RUN),$(METHOD))

# LAM and GAMMA2 may name several, as in LAM="0.3 0.5"; each method gets the options that it has.
method  = $(patsubst %-other,%,$(patsubst %-mean,%,$(1)))
control = $(filter other mean,$(lastword $(subst -, ,$(1))))
by_description = $(filter steerx-cos%,$(1))
by_vector = $(filter cas% steerx-cas%,$(1))
known = $(if $(filter-out non-perso,$(2)),$(call retrieved,$(1))) \
	$(if $(call by_description,$(2)),$(call profiles,$(1))) $(if $(call by_vector,$(2)),$(call vectors,$(1)))
steered = --method $(call method,$(2)) \
	$(if $(filter-out non-perso,$(2)),--retrieved $(call retrieved,$(1))) \
	$(if $(findstring cos,$(2)),$(addprefix --lam ,$(call lams,$(1)))) \
	$(if $(call by_vector,$(2)),$(addprefix --gamma2 ,$(call gamma2s,$(1)))) \
	$(if $(call by_description,$(2)),--profiles $(call profiles,$(1)) $(addprefix --profiles-of ,$(call control,$(2)))) \
	$(if $(call by_vector,$(2)),--vectors $(call vectors,$(1)) $(addprefix --vectors-of ,$(call control,$(2))))
generating = generate $(call settings,$(1)) --queries $(call queries,$(1)) $(call steered,$(1),$(2)) \
	$(call said,generate,$(1)) $(GENERATE)
generated = $(call makes,$(call answers,$(1),$(2)),$(call generating,$(1),$(2)),\
	$(call queries,$(1)) $(call known,$(1),$(2)))

steers = $(filter $(1) $(1)-%,$(SIX) $(OTHERS))  # a method, and what it is with something of another's
writes = $(foreach folder,$(1),$(foreach each,$(2),$(eval $(call generated,$(folder),$(each)))))
$(call writes,$(RUNS),$(SIX) $(OTHERS))
$(call writes,$(VARIED),steerx-cos steerx-cas)
$(call writes,$(SWEPT) $(LAMBDA),$(call steers,steerx-cos))
$(foreach each,$(TUNED),$(call writes,$(RUN)/tuned/$(each),$(call steers,$(each))))
$(call writes,$(SEEDED),$(SIX) $(OTHERS))
$(call writes,$(call in,$(call in,$(DRAWN),random surprisal all habits),$(SEEDS:%=seed-%)),steerx-cos steerx-cas)
$(call writes,$(DEVELOPMENT)/grid,cos)
$(call writes,$(SWEPT:%=%/grid),steerx-cos)
$(call writes,$(call in,$(DEVELOPMENT)/cas/grid,$(GRID_LAYER:%=layer-%)),cas)
$(call writes,$(call in,$(MIXED),$(GRID_LAYER:%=layer-%)),steerx-cas)

## neutral: what the model writes for the retrieved histories' own inputs, with nothing of the user
neutral: $(RUN)/neutral.parquet
inputs_answered = generate $(call settings,$(1)) --method non-perso --over histories \
	--retrieved $(call retrieved,$(1)) $(NEUTRAL)
$(foreach run,$(RUNS),$(eval \
	$(call makes,$(run)/neutral.parquet,$(call inputs_answered,$(run)),$(call retrieved,$(run)))))
