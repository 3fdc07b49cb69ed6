## build-vector: where a user's histories and descriptions part from what the model writes by itself
.PHONY: build-vector
build-vector: $(RUN)/vectors.parquet

# Where γ1 is 1, as for CAS by itself, no description counts.
described = $(if $(findstring --gamma1 1,$(call said,build-vector,$(1))),,$(call profiles,$(1)))
built_from = $(call retrieved,$(1)) $(call run_of,$(1))/neutral.parquet $(call described,$(1))
building = build-vector $(call settings,$(1)) --retrieved $(call retrieved,$(1)) \
	--neutral $(call run_of,$(1))/neutral.parquet $(addprefix --profiles ,$(call described,$(1))) \
	$(BUILD_VECTOR) $(call said,build-vector,$(1))
$(foreach folder,$(VECTORED),$(eval \
	$(call makes,$(folder)/vectors.parquet,$(call building,$(folder)),$(call built_from,$(folder)))))

# The same vectors with another γ1: no model is loaded.
mixed_from = $(call without,$(1),gamma1-%)/vectors.parquet
mixing = build-vector $(call settings,$(1)) --vectors $(call mixed_from,$(1)) \
	$(call build-vector.of,$(call says,$(1),gamma1-%))
$(foreach folder,$(MIXED),$(eval \
	$(call makes,$(folder)/vectors.parquet,$(call mixing,$(folder)),$(call mixed_from,$(folder)))))
