## retrieve: the user's histories that stand beside each query (RETRIEVE="--top-k 4")
.PHONY: retrieve
retrieve: $(RUN)/retrieved.parquet

retrieving = retrieve $(call settings,$(1)) $(call data,$(1)) $(RETRIEVE)
$(foreach run,$(RUNS),$(eval \
	$(call makes,$(run)/retrieved.parquet,$(call retrieving,$(run)),$(call data_files,$(run)))))
