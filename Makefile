# Two commands to know: make demo, make test. The others are parts of the latter.

.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

GOLANGCI_LINT_VERSION := v2.15.0
GOLANGCI_LINT := .tools/bin/golangci-lint-$(GOLANGCI_LINT_VERSION)

FUZZTIME ?= 30s

.PHONY: help
help: ## list the targets
	@awk -F ' ## ' '/^[a-z0-9-]+:.* ## / { sub(/:.*/, "", $$1); printf "%-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## run the Go example on sample tasks; needs Go and a C compiler only
	@scripts/tools.sh demo
	@echo "building wasmton (the first time, that takes a minute)"
	@$(MAKE) build
	@scripts/guests.sh go-processor
	@rm -rf build/demo && mkdir -p build/demo
	@echo "the processor appends the messages to build/demo/messages"
	bin/wasmton dev --dir build/demo::/ build/guests/go-processor.wasm < examples/tasks.jsonl

.PHONY: test
test: ## everything: what check does, the race detector, guests on a real Kafka
	@scripts/stages.sh tools guests build format vet lint race synctests c-test deploy-test e2e

.PHONY: check
check: ## what every commit must pass, in minutes
	@scripts/stages.sh format vet lint unit synctests c-test

.PHONY: build
build: ## bin/wasmton
	@mkdir -p bin
	go build -o bin/wasmton ./cmd/wasmton

.PHONY: guests
guests: ## the guests, from source, into build/guests
	scripts/guests.sh

.PHONY: tools
tools: ## look for all tools that the tests need, install what can be installed
	scripts/tools.sh

# --- checks of the text -----------------------------------------------------------------

GO_FILES = $(wildcard $(shell git ls-files --cached --others --exclude-standard '*.go'))

.PHONY: format
format: ## is all Go code formatted?
	@unformatted=$$(gofmt -l $(GO_FILES)) && test -z "$$unformatted" || { echo "run gofmt -w on:"; echo "$$unformatted"; exit 1; }

.PHONY: vet
vet: ## go vet, with every build tag and in every module
	go vet ./...
	go vet -tags synctests ./consumer/...
	go vet -tags e2e ./e2e/...
	cd deploy/test && go vet ./...
	cd examples/go-processor && GOOS=wasip1 GOARCH=wasm go vet ./...

.PHONY: lint
lint: $(GOLANGCI_LINT) ## golangci-lint
	$(GOLANGCI_LINT) run
	cd deploy/test && $(CURDIR)/$(GOLANGCI_LINT) run
	@# "unused" does not know that go:wasmexport is a use.
	cd examples/go-processor && GOOS=wasip1 GOARCH=wasm $(CURDIR)/$(GOLANGCI_LINT) run --disable unused

# Built from source with its own dependencies, so that go.mod stays free of them.
$(GOLANGCI_LINT):
	@mkdir -p .tools/bin
	GOBIN=$(CURDIR)/.tools/bin go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)
	@mv .tools/bin/golangci-lint $@

# --- tests ------------------------------------------------------------------------------

.PHONY: unit
unit: ## unit tests and command line scripts
	go test ./...

.PHONY: race
race: ## the same under the race detector
	go test -race ./...

# The tag swaps mutexes of the Kafka client for ones that virtual time can see.
.PHONY: synctests
synctests: ## consumer tests in virtual time
	go test -race -tags synctests ./consumer/...
	@# What counts allocations can't do so under the race detector.
	go test -tags synctests ./consumer/...

.PHONY: c-test
c-test: ## the C example's JSON reader, with sanitizers
	@mkdir -p build
	$(CC) -Wall -Wextra -Werror -g -fsanitize=address,undefined -fno-sanitize-recover=all \
		-o build/json_test examples/c-processor/json.c examples/c-processor/json_test.c
	build/json_test

.PHONY: deploy-test
deploy-test: build ## compose file, manifests and Dockerfile against the types that read them
	cd deploy/test && WASMTON_BIN=$(CURDIR)/bin/wasmton go test -count=1 ./...

.PHONY: e2e
e2e: build guests ## bin/wasmton with all guests on a real Kafka
	go test -tags e2e -count=1 -timeout 20m ./e2e/...

.PHONY: fuzz
fuzz: ## each fuzz target for FUZZTIME (30s)
	scripts/fuzz.sh $(FUZZTIME)

.PHONY: endurance
endurance: ## a hundred thousand traps, thousands of live instances, a leak of 10 GB; takes minutes
	go test -count=1 -timeout 30m -v -run Endurance ./wasihost -args -endurance
	go test -count=1 -timeout 30m -v -run Endurance ./processor/wasm -args -endurance
	go test -run '^$$' -bench WaitingGuests -benchtime 5s ./wasihost

# --- a broker, measurements -------------------------------------------------------------

.PHONY: kafka
kafka: ## start a real Kafka on localhost:9092
	scripts/kafka up

.PHONY: kafka-down
kafka-down: ## stop it
	scripts/kafka down

.PHONY: bench
bench: build bench-engine ## engine and consumer beside their rivals; takes some minutes
	go build -o bin/bench ./bench
	go build -o bin/bare ./bench/bare
	scripts/kafka with bin/bench -wasmton bin/wasmton -bare bin/bare -bootstrap BOOTSTRAP

# Test binaries, and not go test, so that the benchmarks can take turns.
.PHONY: bench-engine
bench-engine: ## the engine alone, a minute or two; bench/README.md says what the figures mean
	@mkdir -p bin
	go test -c -o bin/wasihost.test ./wasihost
	go test -c -o bin/wasm.test ./processor/wasm
	go build -o bin/bench-engine ./bench/engine
	bin/bench-engine bin/wasihost.test bin/wasm.test

.PHONY: clean
clean: ## remove what was built
	rm -rf bin build
