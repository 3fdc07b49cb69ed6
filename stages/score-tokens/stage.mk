# SCORE_TOKENS with several --tau writes other files than the one that is made here.
## score-tokens: which tokens of those histories are there because of their user
.PHONY: score-tokens
score-tokens: $(RUN)/scores.parquet
$(RUN)/scores.parquet: $(RUN)/retrieved.parquet $(call settings,score-tokens,$(SCORE_TOKENS)) | $(READY)
	$(STEERX) score-tokens $(COMMON) --queries $(QUERIES) --histories $(HISTORIES) $(SCORE_TOKENS)
