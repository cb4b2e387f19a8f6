# Session Gate. `make help` lists what there is.
#
# Whatever a target needs and the machine lacks is installed first, into .tools/ (scripts/tool.sh).

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# The store of `make run` and `make demo`: memory or redis.
STORE ?= memory
# More flags for `make run`, such as --port 10020.
ARGS ?=
# The Envoy to run and test with, such as 1.38.3; empty: the one of the machine, else the pinned one.
ENVOY_VERSION ?=
export ENVOY_VERSION
# The configuration of `make envoy`.
CONFIG ?=
# How many client operations to simulate, and what everything follows from: a new seed each time, unless it is given.
OPS ?= 1000000
SEED ?=
export SEED

# One target folder, where the harness finds what it starts.
export CARGO_TARGET_DIR := $(CURDIR)/target
native := --locked --workspace --exclude session-gate-filter --all-features
wasm_filter := --locked -p session-gate-filter --target wasm32-wasip1
with_tools := scripts/with-tools.sh
redis_if_asked := $(if $(filter redis,$(STORE)),redis)
say = @printf '%s\n' "==> $(1)" >&2

.PHONY: help tools build wasm run envoy demo test test-browser check fuzz-api sim sim-bites measure-limits measure-logout measure-memory measure-renewal measure-revocation clean

help: ## What there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "Variables: STORE=memory|redis (run, demo), ENVOY_VERSION=1.38.3 (run, demo, test), OPS, SEED (sim)"

tools: ## Install what is missing, and say what was chosen
	@$(with_tools) envoy redis chromedriver -- true

wasm: ## Build the filter: target/session_gate.wasm
	@scripts/wasm.sh

build: wasm ## Build the filter, the sidecar and the demo
	$(call say,building the sidecar and the demo)
	@cargo build $(native) --bins

run: build ## Start sidecar, demo upstream and Envoy, and show how to use them; Ctrl-C stops all
	@exec $(with_tools) envoy $(redis_if_asked) -- target/debug/demo run --store $(STORE) $(ARGS)

envoy: wasm ## Start Envoy with a configuration of your own (CONFIG=gate.yaml); `make run` has its sidecar
	@exec $(with_tools) envoy -- scripts/envoy.sh "$(CONFIG)"

demo: build ## Start the same, run the story, check every answer, stop
	@exec $(with_tools) envoy $(redis_if_asked) -- target/debug/demo story --store $(STORE)

test: build ## Run every test, through a real Envoy and a real Redis too
	$(call say,building the plugin that verifies signature vectors)
	@cargo build $(wasm_filter) --profile wasm --example vectors
	$(call say,building and running all tests)
	@# The documentation's own tests first, and those in a browser: the last summary should say something.
	@cargo test $(native) --doc
	@$(with_tools) envoy redis chromedriver -- scripts/test-browser.sh $(native)
	@$(with_tools) envoy redis -- cargo test $(native) --lib --bins --tests

test-browser: build ## Run the tests that drive a Chromium, where there is one
	@$(with_tools) envoy redis chromedriver -- scripts/test-browser.sh $(native)

check: build ## Formatting, lints, docs, dependency rules, configurations, generated files
	$(call say,formatting)
	@cargo fmt --all --check
	$(call say,lints (native))
	@cargo clippy $(native) --all-targets -- -D warnings
	$(call say,lints (wasm32-wasip1))
	@cargo clippy $(wasm_filter) --lib --examples -- -D warnings
	$(call say,documentation)
	@RUSTDOCFLAGS=-Dwarnings cargo doc $(native) --no-deps
	@RUSTDOCFLAGS=-Dwarnings cargo doc $(wasm_filter) --no-deps
	$(call say,dependency rules)
	@scripts/check-dependencies.sh
	$(call say,imports of modules)
	@cargo test --locked --quiet -p session-gate-architecture
	$(call say,configurations)
	@$(with_tools) envoy -- scripts/check-config.sh
	$(call say,planted flaws)
	@scripts/check-flaws.sh
	$(call say,generated files)
	@scripts/check-generated.sh
	@scripts/check-openapi.sh

fuzz-api: ## Send requests by docs/openapi.json, and against it, to a sidecar in every role (FUZZ_EXAMPLES=100)
	@scripts/fuzz-api.sh

sim: ## Run the simulation: many workers on virtual time, from a new seed (OPS=1000000), or again from one (SEED=1)
	$(call say,building the simulation)
	@cargo build --locked --profile simulation -p session-gate-simulation
	@target/simulation/simulation --scenarios
	@exec target/simulation/simulation --ops $(OPS) $(if $(SEED),--seed $(SEED))

sim-bites: ## Plant flaws in a copy of the sources, and show that the simulation finds each
	@scripts/sim-bites.sh

measure-revocation: wasm ## Measure how fast a revocation is known, under load: target/measure/revocation.json
	$(call say,building the sidecar and the measurement)
	@cargo build --locked --release -p store-sidecar -p session-gate-bench --bins
	@exec $(with_tools) envoy redis -- target/release/measure-revocation --output target/measure/revocation.json

measure-limits: wasm ## Measure whether limits hold, and what counting costs: target/measure/limits.json
	$(call say,building the sidecar and the measurement)
	@cargo build --locked --release -p store-sidecar -p session-gate-bench --bins
	@exec $(with_tools) envoy redis -- target/release/measure-limits --output target/measure/limits.json

measure-logout: ## Measure what it costs to end all of very many sessions: target/measure/logout.json
	$(call say,building the sidecar and the measurement)
	@cargo build --locked --release -p store-sidecar -p session-gate-bench --bins
	@exec $(with_tools) redis -- target/release/measure-logout --output target/measure/logout.json

measure-renewal: wasm ## Measure what a request pays whose token is renewed: target/measure/renewal.json
	$(call say,building the sidecar and the measurement)
	@cargo build --locked --release -p store-sidecar -p session-gate-bench --bins
	@exec $(with_tools) envoy redis -- target/release/measure-renewal --output target/measure/renewal.json

measure-memory: wasm ## Measure how large a worker's VM grows: target/measure/memory.json
	$(call say,building the measurement)
	@cargo build --locked --release -p session-gate-bench --bins
	@exec $(with_tools) envoy -- target/release/measure-memory --output target/measure/memory.json

clean: ## Remove what was built (.tools/ stays)
	@cargo clean
