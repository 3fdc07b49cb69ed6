## smooth: a description of each user in a model's words, from the anchors (SMOOTH="--unit word")
.PHONY: smooth
smooth: $(RUN)/profiles.parquet

scores = $(call without,$(1),without-%)/scores.parquet
# Without a model that describes, its options have no meaning; a preset's are left alone.
by_model = $(if $(call says,$(1),without-%),,$(SMOOTH))
smoothing = smooth $(call settings,$(1)) --scores $(call scores,$(1)) $(call by_model,$(1)) $(call said,smooth,$(1))
$(foreach folder,$(DESCRIBED),$(eval \
	$(call makes,$(folder)/profiles.parquet,$(call smoothing,$(folder)),$(call scores,$(folder)))))
