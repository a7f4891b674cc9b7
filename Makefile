# The names below are all that CI and people call. A fresh machine needs Go, gcc, make, git and apt.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VERSION ?= 0.1.0
OUT     := build
KEY     ?= $(OUT)/keys/development.key
GOLANGCI_VERSION := v2.15.0
COMMIT  := $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
EPOCH   := $(shell sed -n 's/^sourceDateEpoch: *\([0-9]*\).*/\1/p' images/lock.yaml)
DATE    := $(shell date -u -d @$(EPOCH) +%Y-%m-%dT%H:%M:%SZ)
V       := islet/appliance/version

export CGO_ENABLED ?= 0
export SOURCE_DATE_EPOCH := $(EPOCH)

say = @printf '\n== %s\n' "$(1)"

.PHONY: help
help: ## list the targets
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: deps
deps: ## install the Debian packages that a build needs, where they are missing
	@need=; for p in libseccomp-dev pkg-config gcc; do dpkg -s $$p >/dev/null 2>&1 || need="$$need $$p"; done; \
	if [ -n "$$need" ] || ! ls /var/lib/apt/lists/*_Packages* >/dev/null 2>&1; then \
	  printf '\n== installing%s with apt\n' "$${need:- nothing, updating package lists}"; \
	  apt-get update -qq; [ -z "$$need" ] || DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $$need >/dev/null; fi

$(OUT)/keys/development.key:
	$(call say,making a DEVELOPMENT signing key in $(OUT)/keys)
	@go run ./cmd/appliance bundle keygen --dev --out $(OUT)/keys

.PHONY: cli
cli: $(OUT)/keys/development.key
	$(call say,building the operator's executable)
	@go build -trimpath -o $(OUT)/bin/appliance -ldflags "-s -w -X $V.Version=$(VERSION) -X $V.Commit=$(COMMIT) -X $V.Date=$(DATE) \
	  -X islet/bundle/trust.rootKeys=$$(grep -v '^#' $(OUT)/keys/development.pub)$${TRUST_ROOTS:+,$$TRUST_ROOTS}" ./cmd/appliance

.PHONY: images
images: deps ## build engines, images and manifests into build/layout; what is unchanged is kept
	$(call say,building engines, images and manifests: the first time takes about 15 minutes)
	@go run ./images/cmd/build all --out $(OUT)/layout

.PHONY: bundle
bundle: cli images ## build the one file, build/appliance
	$(call say,putting everything into $(OUT)/appliance)
	@$(OUT)/bin/appliance bundle create --layout $(OUT)/layout --executable $(OUT)/bin/appliance --name islet --version $(VERSION) \
	  --key $(KEY) --out $(OUT)/appliance
	@ls -l $(OUT)/appliance

.PHONY: build
build: bundle ## the same as bundle
