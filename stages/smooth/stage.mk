## smooth: a description of each user in a model's words, from the anchors (SMOOTH="--unit word")
.PHONY: smooth
smooth: $(RUN)/profiles.parquet

scores = $(call without,$(1),without-%)/scores.parquet
smoothing = smooth $(call settings,$(1)) --scores $(call scores,$(1)) $(SMOOTH) $(call said,smooth,$(1))
$(foreach folder,$(DESCRIBED),$(eval \
	$(call makes,$(folder)/profiles.parquet,$(call smoothing,$(folder)),$(call scores,$(folder)))))
