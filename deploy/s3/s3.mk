# A real S3 server for tests: versitygw over a folder, built from the module
# proxy. Included by the Makefile at the root; run from there.
#   make test-s3    blobs, checkpoints, restore and standbys against it

S3_SERVER := .cache/s3/versitygw

.PHONY: test-s3

$(S3_SERVER): deploy/s3/go.mod deploy/s3/go.sum
	@mkdir -p $(dir $@)
	cd deploy/s3 && $(GO) build -o ../../$@ github.com/versity/versitygw/cmd/versitygw

test-s3: $(S3_SERVER)
	deploy/s3/run.sh $(S3_SERVER) sh -c '$(GO) test -count=1 ./blobs ./state/checkpoint && \
		$(GO) test -count=1 -run "TestEmptyDisk|TestNothingIsReset|TestDamaged|TestRestoreHolds|TestStandby" ./e2e'
