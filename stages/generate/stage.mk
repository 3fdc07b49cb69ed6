# Each method has a file of its own, so several can lie in one run; so has each control of a method.
METHOD   ?= cos
METHODS  := non-perso rag cos steerx-cos cas steerx-cas
CONTROLS := steerx-cos-other $(foreach method,cas steerx-cas,$(method)-other $(method)-mean)
# LAM and GAMMA2 may name several, as in LAM="0.3 0.5"; each method gets the options that it has.
control  = $(filter other mean,$(lastword $(subst -, ,$(1))))
of_method = --method $(patsubst %-other,%,$(patsubst %-mean,%,$(1))) \
	$(if $(findstring cos,$(1)),$(addprefix --lam ,$(LAM)) $(addprefix --profiles-of ,$(call control,$(1)))) \
	$(if $(findstring cas,$(1)),$(addprefix --gamma2 ,$(GAMMA2)) $(addprefix --vectors-of ,$(call control,$(1)))) \
	$(if $(findstring steerx-cos,$(1)),--profiles $(PROFILES)) $(if $(findstring cas,$(1)),--vectors $(VECTORS))
generated = $(patsubst %,$(RUN)/generations-%.parquet,$(1))
without_histories := non-perso
by_description := $(filter steerx-cos%,$(METHODS) $(CONTROLS))
by_vector := $(filter cas% steerx-cas%,$(METHODS) $(CONTROLS))

## generate: what the model writes for each query, by METHOD=non-perso, rag, cos, steerx-cos, cas, steerx-cas, or a control: cas-other, cas-mean, …
.PHONY: generate neutral
generate: $(RUN)/generations-$(METHOD).parquet
$(call generated,$(METHODS) $(CONTROLS)): \
$(RUN)/generations-%.parquet: $(QUERIES) $(call settings,generate,$(LAM) $(GAMMA2) $(GENERATE)) | $(READY)
	$(STEERX) generate $(COMMON) --queries $(QUERIES) $(call of_method,$*) $(GENERATE)
$(call generated,$(filter-out $(without_histories),$(METHODS) $(CONTROLS))): $(RUN)/retrieved.parquet
$(call generated,$(by_description)): $(PROFILES) $(call settings,profiles,$(PROFILES))
$(call generated,$(by_vector)): $(VECTORS) $(call settings,vectors,$(VECTORS))

## neutral: what the model writes for the retrieved histories' own inputs, with nothing of the user
neutral: $(RUN)/neutral.parquet
$(RUN)/neutral.parquet: $(RUN)/retrieved.parquet $(call settings,neutral,$(NEUTRAL)) | $(READY)
	$(STEERX) generate $(COMMON) --method non-perso --over histories $(NEUTRAL)
