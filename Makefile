# Every target sets up what it lacks by itself: see scripts/setup.

GO      := scripts/go
SHELL   := bash
.SHELLFLAGS := -euo pipefail -c

# Tools run from their own modules, at these versions, so that go.mod stays light.
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOLANGCI    := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

SOURCES := $(wildcard *.go */)

FUZZTIME    ?= 10s#  for each fuzz target
TORTURETIME ?= 10m#  for each course of random work of make torture
PKG         ?= ./...#  what to test

.DEFAULT_GOAL := help
.PHONY: help run webhooks build test test-race test-cgo test-clients cover bench bench-broker bench-inbox bench-outbox fuzz torture torture-kafka lint vet fmt services clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@awk -F '[ ?=#]+' '/^[A-Z]+ +\?=/ { line = $$0; sub(/.*# */, "", line); printf "  %s=%s  %s\n", $$1, $$2, line }' $(MAKEFILE_LIST)

run: ## Play a payment gateway by hand and by Hapax while things fail; DEMO=--fast for seconds
	@scripts/run $(DEMO)

webhooks: ## Find the duplicates in a stream of real webhooks
	@scripts/webhooks

build: ## Build bin/hapax
	$(GO) build -trimpath -o bin/hapax ./cmd/hapax

test: ## Run all tests
	$(GO) test $(PKG)

test-race: ## Run all tests under the race detector
	@scripts/setup cc
	$(GO) test -race $(PKG)

cover: ## Run all tests and tell what share of the statements they reach
	$(GO) test -coverprofile=cover.out -coverpkg=./... $(PKG)
	$(GO) tool cover -func=cover.out | tail -n 1

test-cgo: ## Run the exams of SQLite's stores by mattn/go-sqlite3, which needs a C compiler
	@scripts/setup cc
	cd bench && ../$(GO) test ./inbox

test-clients: ## Run other people's Kafka clients and tools against the node, and ours against Apache Kafka
	@scripts/clients
	cd clients && ../$(GO) test ./...
	HAPAX_KAFKA=$(CURDIR)/.tools/clients/java/lib $(GO) test -count=1 -run='^Test(RedeliveriesOf|DemoOn)ApacheKafka$$' ./adapter/kafka ./cmd/hapax
	HAPAX_KAFKA=$(CURDIR)/.tools/clients/java/lib $(GO) test -count=1 -run='^TestApacheKafka$$' ./adapter/kafkaproducer ./adapter/kafkarelay

bench: ## Measure against the peers, and print one table
	@scripts/services bench-redis
	cd bench && ../$(GO) run .

bench-broker: ## Measure the broker beside Apache Kafka and NATS, and print one table
	@scripts/setup go mvn
	cd bench && ../$(GO) run ./broker

bench-inbox: ## Measure handlers that run once beside what one would write by hand
	@scripts/services postgres mariadb redis
	cd bench && ../$(GO) run ./inbox

bench-outbox: ## Measure records from a database into a broker, and keys of HTTP requests
	@scripts/services postgres redis
	@scripts/setup go mvn
	cd bench && ../$(GO) run ./outbox

fuzz: ## Run each fuzz target for FUZZTIME
	@scripts/fuzz $(FUZZTIME) $(PKG)

torture: ## Kill, cut the power, fail and damage at length: an hour and more
	HAPAX_TORTURE=$(TORTURETIME) $(GO) test -count=1 -timeout=0 -v -run='^Test(Torture|Admit|Contract|StoreStops|Shared|Marks)' $(PKG)

torture-kafka: ## Torture Apache Kafka as hapax serve is: what is found is wrong with the torture
	@scripts/clients java
	HAPAX_TORTURE=$(TORTURETIME) HAPAX_KAFKA=$(CURDIR)/.tools/clients/java/lib $(GO) test -count=1 -timeout=0 -v -run='^TestTortureKafka$$' ./cmd/hapax

lint: vet ## Check the code as .ci/run does
	$(GO) run $(GOLANGCI) run $(PKG)
	cd bench && ../$(GO) run $(GOLANGCI) run ./...
	cd clients && ../$(GO) run $(GOLANGCI) run ./...

vet: ## Check the code in seconds: gofmt, go vet, staticcheck
	@unformatted=$$($(GO) run cmd/gofmt -l $(SOURCES)) && \
		[ -z "$$unformatted" ] || { echo "not formatted: run make fmt:" $$unformatted; exit 1; }
	$(GO) vet $(PKG)
	cd bench && ../$(GO) vet ./...
	cd clients && ../$(GO) vet ./...
	$(GO) run $(STATICCHECK) $(PKG)

fmt: ## Format the code
	$(GO) run cmd/gofmt -l -w $(SOURCES)

services: ## Start the databases, caches and brokers that tests talk to: see scripts/services
	@scripts/services

clean: ## Remove what make put here
	rm -rf bin run cover.out
