# Each method has a file of its own, so several can lie in one run.
METHOD   ?= cos
PROFILES ?= $(RUN)/profiles.parquet
# LAM may name several λ, as in LAM="0.3 0.5"; each method gets the options that it has.
of_method = --method $(patsubst %-other,%,$(1)) $(if $(filter %-other,$(1)),--profiles-of other) \
	$(if $(findstring cos,$(1)),$(addprefix --lam ,$(LAM))) $(if $(findstring steerx,$(1)),--profiles $(PROFILES))
generated = $(patsubst %,$(RUN)/generations-%.parquet,$(1))

## generate: what the model writes for each query, by METHOD=non-perso, rag, cos, steerx-cos or steerx-cos-other
.PHONY: generate neutral
generate: $(RUN)/generations-$(METHOD).parquet
$(call generated,non-perso rag cos steerx-cos steerx-cos-other): \
$(RUN)/generations-%.parquet: $(QUERIES) $(call settings,generate,$(LAM) $(GENERATE)) | $(READY)
	$(STEERX) generate $(COMMON) --queries $(QUERIES) $(call of_method,$*) $(GENERATE)
$(call generated,rag cos steerx-cos steerx-cos-other): $(RUN)/retrieved.parquet
$(call generated,steerx-cos steerx-cos-other): $(PROFILES) $(call settings,profiles,$(PROFILES))

## neutral: what the model writes for the retrieved histories' own inputs, with nothing of the user
neutral: $(RUN)/neutral.parquet
$(RUN)/neutral.parquet: $(RUN)/retrieved.parquet $(call settings,neutral,$(GENERATE)) | $(READY)
	$(STEERX) generate $(COMMON) --method non-perso --over histories $(GENERATE)
