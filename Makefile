# nitrod's build. `make` alone says what there is; every target that needs root
# says so itself.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# scripts/setup-go.sh leaves a toolchain at build/go where the machine's own is
# missing or too old.
export PATH := $(CURDIR)/build/go/bin:$(PATH):/usr/local/go/bin
export GOTOOLCHAIN ?= local

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -X main.version=$(VERSION)

FUZZTIME ?= 30s
CHECKS ?= 2000
RUN ?= .
BENCHFLAGS ?=
EXAMPLE ?= examples/two-enis.yaml

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## Install what is missing: packages, Go, hugepages (root)
	@scripts/setup.sh

.PHONY: build
build: ## Build build/nitrod
	@mkdir -p build
	go build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)' -o build/nitrod ./cmd/nitrod

.PHONY: run
run: setup build ## Run the example: two ENIs in two namespaces; Ctrl-C ends it (root)
	@exec build/nitrod run -c $(EXAMPLE) --demo

.PHONY: test
test: setup build ## The whole suite; what the machine cannot do is skipped with a reason (root)
	@scripts/test.sh

.PHONY: test-unit
test-unit: ## Only what needs neither DPDK nor root
	go test $$(scripts/packages.sh portable)

.PHONY: race
race: ## The race detector on all packages that do not poll devices
	go test -race $$(scripts/packages.sh portable)

.PHONY: fuzz
fuzz: ## Each fuzz target for FUZZTIME (30s)
	@FUZZTIME=$(FUZZTIME) scripts/fuzz.sh

.PHONY: explore
explore: ## The property tests on CHECKS (2000) random cases each, from a random seed
	go test -timeout 60m $$(scripts/packages.sh random) -run '$(RUN)' -rapid.checks=$(CHECKS)

.PHONY: lint
lint: ## gofmt, go vet, the import rules, and golangci-lint where it is installed
	go vet ./...
	go test ./internal/lint
	@if command -v golangci-lint >/dev/null; then golangci-lint run; \
	else echo "lint: golangci-lint is not installed; the import rules were checked by internal/lint"; fi

.PHONY: generate
generate: ## Regenerate docs and tables
	go generate ./...

.PHONY: bench
bench: ## Compare with testpmd and OVS-DPDK; BENCHFLAGS=-quick for a first look (root)
	@scripts/setup.sh --bench
	@$(MAKE) build
	go run ./bench $(BENCHFLAGS)

.PHONY: clean
clean: ## Remove what was built and generated, but no fetched toolchain
	rm -rf build/nitrod bench/frames
