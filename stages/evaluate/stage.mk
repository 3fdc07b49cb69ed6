# EVALUATED names what is compared, CONTROLS=1 adds the controls of it; EVALUATE has options of the scores, COMPARE of the
# table.
EVALUATED ?= $(METHODS)

## evaluate: scores of the answers of EVALUATED="…" (all six methods), and the table of them
.PHONY: evaluate
evaluate: $(RUN)/metrics.parquet
	@$(call table,$<)
table = $(STEERX) evaluate --preset $(PRESET) --metrics $(1) $(COMPARE)

# A file of scores: where it goes, the run whose queries were answered, the files of answers, more options.
scoring = evaluate --preset $(PRESET) --overwrite --output $(1) --queries $(call queries,$(2)) --format none \
	$(EVALUATE) $(4) $(3)
scored = $(call makes,$(1),$(call scoring,$(1),$(2),$(3),$(4)),$(call queries,$(2)) $(3))
beside_them = $(if $(CONTROLS),$(filter-out $(EVALUATED),$(call controls_of,$(EVALUATED))))
$(eval $(call scored,$(RUN)/metrics.parquet,$(RUN),$(call answers,$(RUN),$(EVALUATED) $(beside_them))))
