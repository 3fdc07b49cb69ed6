# SCORE_TOKENS says how effects are measured, ANCHORS how they are cut: another τ measures nothing again.
## score-tokens: which tokens of those histories are there because of their user (ANCHORS="--tau 0.8")
.PHONY: score-tokens
score-tokens: $(RUN)/scores.parquet

measuring = score-tokens $(call settings,$(1)) $(call data,$(1)) --measure-only $(SCORE_TOKENS)
$(foreach run,$(RUNS),$(eval $(call makes,$(run)/effects.parquet,$(call measuring,$(run)),$(run)/retrieved.parquet)))

effects = $(call run_of,$(1))/effects.parquet
cutting = score-tokens $(call settings,$(1)) --effects $(call effects,$(1)) $(ANCHORS) \
	$(call said,score-tokens,$(1))
$(foreach folder,$(SCORED),$(eval \
	$(call makes,$(folder)/scores.parquet,$(call cutting,$(folder)),$(call effects,$(folder)))))
