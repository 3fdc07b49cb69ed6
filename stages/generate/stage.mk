# Each method has a file of its own, so several can lie in one run.
METHOD   ?= cos
PROFILES ?= $(RUN)/profiles.parquet
# LAM may name several λ, as in LAM="0.3 0.5"; the methods that have none do not get them.
lams = $(if $(filter cos steerx-cos,$(1)),$(addprefix --lam ,$(LAM)))

## generate: what the model writes for each query, by METHOD=non-perso, rag, cos or steerx-cos
.PHONY: generate neutral
generate: $(RUN)/generations-$(METHOD).parquet
$(RUN)/generations-non-perso.parquet $(RUN)/generations-rag.parquet $(RUN)/generations-cos.parquet $(RUN)/generations-steerx-cos.parquet: \
$(RUN)/generations-%.parquet: $(QUERIES) $(call settings,generate,$(LAM) $(GENERATE)) | $(READY)
	$(STEERX) generate $(COMMON) --method $* --queries $(QUERIES) --profiles $(PROFILES) $(call lams,$*) $(GENERATE)
$(RUN)/generations-rag.parquet $(RUN)/generations-cos.parquet $(RUN)/generations-steerx-cos.parquet: $(RUN)/retrieved.parquet
$(RUN)/generations-steerx-cos.parquet: $(PROFILES)

## neutral: what the model writes for the retrieved histories' own inputs, with nothing of the user
neutral: $(RUN)/neutral.parquet
$(RUN)/neutral.parquet: $(RUN)/retrieved.parquet $(call settings,neutral,$(GENERATE)) | $(READY)
	$(STEERX) generate $(COMMON) --method non-perso --over histories $(GENERATE)
