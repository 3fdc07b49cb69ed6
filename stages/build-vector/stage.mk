## build-vector: where a user's histories and descriptions part from what the model writes by itself
.PHONY: build-vector
build-vector: $(RUN)/vectors.parquet
$(RUN)/vectors.parquet: $(RUN)/retrieved.parquet $(RUN)/neutral.parquet $(PROFILES) \
$(call settings,build-vector,$(PROFILES) $(BUILD_VECTOR)) | $(READY)
	$(STEERX) build-vector $(COMMON) --profiles $(PROFILES) $(BUILD_VECTOR)
