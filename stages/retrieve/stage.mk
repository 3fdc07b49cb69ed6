## retrieve: the user's histories that stand beside each query
.PHONY: retrieve
retrieve: $(RUN)/retrieved.parquet
$(RUN)/retrieved.parquet: $(QUERIES) $(HISTORIES) $(call settings,retrieve,$(RETRIEVE)) | $(READY)
	$(STEERX) retrieve $(COMMON) --queries $(QUERIES) --histories $(HISTORIES) $(RETRIEVE)
