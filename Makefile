# What a developer does with freshet. "make" alone lists it.

BIN      := $(CURDIR)/bin
CLIENTS  := cmd/freshet/testdata/clients
FUZZTIME ?= 20s
TIMEOUT  ?= 15m
ARGS     ?=

H2SPEC      := github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.8.0

# What the tests start besides Go: a command and the Debian package that has it.
NEEDS := chromium:chromium nghttp:nghttp2-client node:nodejs npm:npm python3:python3 curl:curl

export PATH := $(BIN):$(PATH)

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/freshet
	@go build -trimpath -o $(BIN)/freshet ./cmd/freshet

.PHONY: run
run: build ## run the demo: three relays, live matches and tickers, and a page (ARGS="..." passes flags)
	@$(BIN)/freshet demo -relays 3 $(ARGS)

.PHONY: test
test: tools ## run every test, with what they need installed first
	go test -timeout $(TIMEOUT) ./...

.PHONY: race
race: tools ## run every test under the race detector
	go test -race -timeout $(TIMEOUT) ./...

.PHONY: bench
bench: build ## compare freshet with the kernel's own cost, then run the micro benchmarks (ARGS="..." passes flags)
	$(BIN)/freshet bench -suite $(ARGS)
	$(BIN)/freshet bench -cluster $(ARGS)
	go test -run '^$$' -bench . -timeout $(TIMEOUT) ./...

.PHONY: chaos
chaos: ## kill, stop and part real relays for two minutes (ARGS="-seed 7" repeats a schedule, "-chaos 10m" goes on)
	go test -run '^TestChaos' -v -timeout $(TIMEOUT) ./cmd/freshet -chaos 2m $(ARGS)

.PHONY: fuzz
fuzz: ## fuzz each target for FUZZTIME (20s)
	@set -e; for package in $$(go list ./...); do \
		for target in $$(go test -list '^Fuzz' $$package | grep '^Fuzz' || true); do \
			echo "== $$package $$target"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$package; \
		done; \
	done

.PHONY: lint
lint: ## gofmt, vet, staticcheck, and govulncheck where its data can be reached
	@unformatted=$$(git ls-files -co --exclude-standard '*.go' | xargs gofmt -l); \
		[ -z "$$unformatted" ] || { echo "not gofmt-ed:"; echo "$$unformatted"; exit 1; }
	go vet ./...
	go run $(STATICCHECK) ./...
	@if out=$$(go run $(GOVULNCHECK) ./... 2>&1); then echo "govulncheck: nothing known"; \
	elif echo "$$out" | grep -q -e 'fetching vulnerabilities' -e 'dial tcp' -e 'Forbidden'; then \
		echo "govulncheck: not run, its data cannot be reached from here"; \
	else echo "$$out"; exit 1; fi

.PHONY: tools
tools: $(BIN)/h2spec $(CLIENTS)/node_modules/.package-lock.json

# Quiet where everything is there; else as root, or through sudo.
.PHONY: packages
packages:
	@missing=; for need in $(NEEDS); do \
		command -v $${need%%:*} >/dev/null || missing="$$missing $${need##*:}"; \
	done; \
	[ -z "$$missing" ] && exit; \
	echo "installing$$missing"; \
	sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
	log=$$(mktemp); \
	{ $$sudo apt-get -q update && $$sudo env DEBIAN_FRONTEND=noninteractive \
		apt-get -q install -y --no-install-recommends $$missing; } >$$log 2>&1 </dev/null \
		|| { cat $$log; echo "could not install$$missing, which the tests need"; exit 1; }; \
	rm -f $$log

$(BIN)/h2spec:
	@GOBIN=$(BIN) go install $(H2SPEC)

$(CLIENTS)/node_modules/.package-lock.json: $(CLIENTS)/package-lock.json | packages
	@npm ci --prefix $(CLIENTS) --silent --no-audit --no-fund && touch $@

tools: packages

.PHONY: clean
clean: ## remove what was built and installed here
	rm -rf $(BIN) $(CLIENTS)/node_modules
