# EVALUATED names the methods and controls that are compared; EVALUATE adds options of the scores, COMPARE of the table.
EVALUATED ?= $(METHODS)

## evaluate: scores of the answers of EVALUATED="…" (all six methods), and the table of them
.PHONY: evaluate
evaluate: $(RUN)/metrics.parquet
	@$(TABLE)
TABLE = $(STEERX) evaluate --preset $(PRESET) --metrics $(RUN)/metrics.parquet $(COMPARE)
$(RUN)/metrics.parquet: $(QUERIES) $(call generated,$(EVALUATED)) $(call settings,evaluate,$(EVALUATED) $(EVALUATE)) \
| $(READY)
	$(STEERX) evaluate $(COMMON) --queries $(QUERIES) --format none $(EVALUATE) $(call generated,$(EVALUATED))
