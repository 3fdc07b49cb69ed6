## smooth: a description of each user in a model's words, from the anchors
.PHONY: smooth
smooth: $(RUN)/profiles.parquet
$(RUN)/profiles.parquet: $(RUN)/scores.parquet $(call settings,smooth,$(SMOOTH)) | $(READY)
	$(STEERX) smooth $(COMMON) $(SMOOTH)
