# What can be done here: make help
SHELL := /bin/bash
GO ?= go
STATICCHECK ?= honnef.co/go/tools/cmd/staticcheck@v0.8.2
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
PACKAGES := gcc libc6-dev bind9 bind9-dnsutils bind9-utils libnet-dns-sec-perl nsd knot knot-dnsutils ldnsutils dnsperf \
  util-linux iproute2 dnsmasq-base udhcpc isc-dhcp-server unbound prometheus nodejs sip-tester kamailio systemd strace mount e2fsprogs fuse3
BENCH_PACKAGES := bind9 nsd knot dnsperf util-linux
FUZZTIME ?= 10s
# Options of make bench, as BENCH="-rows 1,5 -rounds 3": go run ./integration/bench -h lists them.
BENCH ?=

.PHONY: help build demo setup test test-hard test-web web-assets soak unit check cross fuzz bench bench-quick bench-go package clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 13

build: bin/dialtone ## the program, as bin/dialtone

bin/dialtone: $(shell git ls-files '*.go' '*.yaml' '*.zone' dnsserver/web/assets dnsserver/web/templates go.mod go.sum)
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-X main.version=$(VERSION)' -o $@ ./cmd/dialtone

demo: build ## serve the built-in default, register a number, look it up
	@.ci/setup bind9-dnsutils
	@.ci/demo bin/dialtone

setup: ## install the clients and peers that the tests need (Debian)
	@.ci/setup $(PACKAGES)

test: setup ## install what is missing, then every test, with the race detector
	@test -z "$$(gofmt -l .)" || { echo "gofmt would change:"; gofmt -l .; exit 1; }
	$(GO) vet ./...
	$(GO) test -race -timeout 9m ./...

test-hard: setup ## floods and faults, which take minutes: of the built binary, with what it needs installed
	$(GO) vet -tags hard ./integration/hard ./zone/store
	$(GO) test -tags hard -timeout 15m -count 1 -v -run '^(TestPowerCuts|TestEveryOctetCounts|TestSectorsThatAreLost)$$' ./zone/store
	$(GO) test -tags hard -race -timeout 25m -count 1 -v ./integration/hard
	$(GO) test -race -timeout 15m -count 1 -run '^TestServerAgainstModel$$' ./dnsserver -rapid.checks=200

DURATION ?= 30m
soak: setup ## everything at once for DURATION (30m): load, leases, transfers, kills, disk faults; then what must be true
	$(GO) test -tags soak -count 1 -timeout 0 -v ./integration/soak -duration $(DURATION)

test-web: ## the page for the people at the desk, in Chromium; pictures of it are left in a directory that is named
	@.ci/setup chromium bind9-dnsutils fonts-dejavu-core
	$(GO) vet -tags web ./integration/web
	$(GO) test -tags web -race -timeout 10m -count 1 ./integration/web

web-assets: ## fetch the charting library of that page again, through npm
	.ci/web-assets

unit: ## the tests that need no peers
	$(GO) test -race $$($(GO) list ./... | grep -v /integration)

check: ## gofmt, vet, staticcheck, cross builds
	@test -z "$$(gofmt -l .)" || { echo "gofmt would change:"; gofmt -l .; exit 1; }
	$(GO) vet ./...
	$(GO) vet -tags hard ./integration/hard ./zone/store
	$(GO) vet -tags soak ./integration/soak
	$(GO) vet -tags web ./integration/web
	$(GO) run $(STATICCHECK) ./...
	$(MAKE) cross

cross: ## build for darwin, and vet the portable UDP loop
	GOOS=darwin GOARCH=arm64 $(GO) build -o /dev/null ./cmd/dialtone
	GOOS=darwin GOARCH=arm64 $(GO) vet ./...
	$(GO) vet -tags portable ./dnsserver/...

fuzz: ## each fuzz target for FUZZTIME (10s)
	@set -e; for p in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz' || true); do \
	    echo "$$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$p | tail -2; \
	  done; done

bench: build ## dialtone beside Knot, NSD and BIND: everything, into BENCHMARKS.md
	@.ci/setup $(BENCH_PACKAGES)
	$(GO) run ./integration/bench -dialtone bin/dialtone $(BENCH)

bench-quick: build ## the same table in three minutes, printed only
	@.ci/setup $(BENCH_PACKAGES)
	$(GO) run ./integration/bench -quick -dialtone bin/dialtone $(BENCH)

bench-go: ## Go benchmarks of the hot paths
	$(GO) test -run '^$$' -bench . -benchmem ./zone/... ./update/... ./dnsserver/...

package: ## a Debian package in bin/, tried out as README's chapter on operations says, in fresh Debians that boot for it (needs root)
	@.ci/setup debootstrap systemd-container
	@GO="$(GO)" .package/build
	@.package/try
	@.package/chapter

clean: ## remove what was built
	rm -rf bin
