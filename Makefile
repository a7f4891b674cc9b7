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
# The engines are built with this, so everything is: what Kubernetes takes to compile is then paid once.
export GOFLAGS := -trimpath
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

.PHONY: demo
demo: bundle ## bring the platform up in an isolated host, with a sample application
	$(call say,bringing the platform up in a lab host with no way out)
	@$(OUT)/appliance lab demo --name demo

$(OUT)/tools/golangci-lint-$(GOLANGCI_VERSION):
	$(call say,building golangci-lint $(GOLANGCI_VERSION))
	@mkdir -p $(OUT)/tools && GOBIN=$(CURDIR)/$(OUT)/tools go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
	@mv $(OUT)/tools/golangci-lint $@

.PHONY: lint
lint: $(OUT)/tools/golangci-lint-$(GOLANGCI_VERSION) ## check formatting and the rules of .golangci.yml
	$(call say,lint)
	@list=$$(gofmt -l appliance bench bundle cmd images e2e systemd tui); test -z "$$list" || { echo "not formatted: $$list"; exit 1; }
	@$< run --timeout 20m ./...

CONTROLLER_GEN_VERSION := v0.21.0
.PHONY: generate
generate: ## make the schemas and copies of the platform's kinds anew, after a change to appliance/paas/v1alpha1
	$(call say,schemas of the platform's kinds)
	@mkdir -p $(OUT)/tools && GOBIN=$(CURDIR)/$(OUT)/tools go install sigs.k8s.io/controller-tools/cmd/controller-gen@$(CONTROLLER_GEN_VERSION)
	@PATH=$(CURDIR)/$(OUT)/tools:$$PATH go generate ./appliance/paas/...

.PHONY: unit
unit: ## unit tests, with the race detector where it pays
	$(call say,unit tests)
	@go test -vet=off $$(go list ./... | grep -v '/e2e$$')

.PHONY: screens
screens: ## draw the main pages of the terminal UI into docs/screens, as text and PNG
	$(call say,screens)
	@SCREENS=$(CURDIR)/docs/screens go test -count=1 -run '^TestScreens$$' ./tui/...

.PHONY: race
race: ## the packages with goroutines of their own, under the race detector
	$(call say,race detector)
	@CGO_ENABLED=1 go test -race ./appliance/component/... ./appliance/api/... ./appliance/health/... ./appliance/balancer/... ./appliance/join/... ./appliance/vip/... ./appliance/registry/... ./bundle/...

FUZZTIME ?= 5s
# Until Go 1.27 a run may end with "context deadline exceeded" though it has found nothing (golang.org/issue/75804): that
# alone is no failure.
.PHONY: fuzz
fuzz: ## fuzz every decoder of outside input for FUZZTIME each
	$(call say,fuzzing for $(FUZZTIME) each)
	@failed=0; for file in $$(grep -rlE '^func Fuzz' --include='*_test.go' appliance bundle images tui); do \
	  for f in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\).*/\1/p' $$file); do \
	    if log=$$(go test -vet=off -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) "./$$(dirname $$file)" 2>&1); then \
	      echo "$$f: $$(echo "$$log" | grep execs | tail -n 1)"; \
	    elif echo "$$log" | grep -q 'Failing input' || ! echo "$$log" | grep -qx ' *context deadline exceeded'; then \
	      failed=1; echo "$$log"; \
	    else \
	      echo "$$f: $$(echo "$$log" | grep execs | tail -n 1) (ended by its deadline)"; \
	    fi; done; done; exit $$failed

.PHONY: e2e
e2e: bundle ## the real thing in isolated hosts
	$(call say,end-to-end tests)
	@APPLIANCE=$(CURDIR)/$(OUT)/appliance go test -count=1 -parallel 2 -timeout 75m -v ./e2e

.PHONY: e2e-long
e2e-long: bundle ## the same with 200 power cuts of one host and 100 of all hosts of a site
	$(call say,end-to-end tests with 300 power cuts)
	@E2E_CUTS=200 E2E_SITE_CUTS=100 APPLIANCE=$(CURDIR)/$(OUT)/appliance go test -count=1 -parallel 2 -timeout 240m -v ./e2e

.PHONY: reproducible
reproducible: images ## build one engine and two images a second time, elsewhere, and compare the digests
	$(call say,building again to compare digests)
	@rm -rf $(OUT)/again; for c in runc pause hello-v1; do go run ./images/cmd/build all --only $$c --out $(OUT)/again/layout; done >/dev/null
	@digests() { sed -n 's/.*"digest": *"\(sha256:[0-9a-f]*\)".*/\1/p' $$1/index.json | sort; }; \
	other=$$(comm -13 <(digests $(OUT)/layout) <(digests $(OUT)/again/layout)); \
	test -z "$$other" || { echo "a second build gave other digests: $$other"; exit 1; }
	@rm -rf $(OUT)/again

.PHONY: test
test: bundle reproducible lint unit race fuzz e2e ## everything that CI runs
	$(call say,all tests passed)

.PHONY: bench
bench: bundle ## measure against the same engines started by hand; history in docs/benchmarks.md
	$(call say,benchmarks)
	@APPLIANCE=$(CURDIR)/$(OUT)/appliance go run ./bench

.PHONY: clean
clean: ## remove what was built; downloads of the Go tool stay
	@rm -rf $(OUT)
