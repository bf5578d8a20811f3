# Everything a developer or user runs. `make` alone lists the targets.
# One profile and one feature set, so that the demo and the tests build nothing twice.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
export PATH := $(HOME)/.cargo/bin:$(PATH)

CARGO_FLAGS := --locked --features cli,local-async,tower,reqwest-middleware
DEMO_FLAGS ?=

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{ printf "  make %-23s %s\n", $$1, $$2 }'

.PHONY: demo
demo: toolchain ## Run the demo against a platform that counts (DEMO_FLAGS="--seconds 60")
	@cargo build $(CARGO_FLAGS) --bin turnstile
	@target/debug/turnstile demo $(DEMO_FLAGS)

.PHONY: cluster
cluster: toolchain ## Start a cluster of processes on this machine (NODES=3)
	@cargo build $(CARGO_FLAGS) --bin turnstile
	@deploy/cluster.sh start "$(or $(NODES),3)"

.PHONY: status
status: ## Show how the nodes of the cluster are
	@deploy/cluster.sh status

.PHONY: kill
kill: ## Kill a node of the cluster without a warning (NODE=2)
	@deploy/cluster.sh kill "$(NODE)"

.PHONY: restart
restart: ## Start a node again that was killed (NODE=2)
	@deploy/cluster.sh restart "$(NODE)"

.PHONY: pause
pause: ## Stop a node where it is, as a suspended machine would (NODE=2)
	@deploy/cluster.sh pause "$(NODE)"

.PHONY: resume
resume: ## Let a paused node go on (NODE=2)
	@deploy/cluster.sh resume "$(NODE)"

.PHONY: partition
partition: ## Cut nodes off from the others, both ways (NODES="1 2")
	@deploy/cluster.sh partition $(NODES)

.PHONY: heal
heal: ## End the partition
	@deploy/cluster.sh heal

.PHONY: add
add: ## Start one more node, which joins the cluster
	@deploy/cluster.sh add

.PHONY: drain
drain: ## Have a node leave the cluster in order (NODE=3)
	@deploy/cluster.sh drain "$(NODE)"

.PHONY: stop
stop: ## End the cluster
	@deploy/cluster.sh stop

.PHONY: test
test: toolchain schemathesis ## Run all tests
	cargo build $(CARGO_FLAGS),next-level --bin turnstile-next
	cargo test $(CARGO_FLAGS)

# Tries the HTTP surface by its description.
SCHEMATHESIS := target/schemathesis
.PHONY: schemathesis
schemathesis:
	@[ -x $(SCHEMATHESIS)/bin/schemathesis ] || { \
		{ python3 -m venv $(SCHEMATHESIS) || { [ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get install -qqy python3-venv && python3 -m venv $(SCHEMATHESIS); }; } && \
		$(SCHEMATHESIS)/bin/pip install -q --disable-pip-version-check -r tests/http/requirements.txt; \
	} || echo "make: schemathesis can't be installed; its test will say that it was skipped" >&2

# A binary that was built before: the tests of clients try what is there.
CLIENT_TESTS_BIN = $(abspath $(or $(TURNSTILE_BIN),target/debug/turnstile))

.PHONY: test-clients
test-clients: test-clients-python test-clients-typescript ## Test the clients in other languages with a binary that is built (TURNSTILE_BIN=target/debug/turnstile)

.PHONY: test-clients-binary
test-clients-binary:
	@[ -x "$(CLIENT_TESTS_BIN)" ] || { echo "make: $(CLIENT_TESTS_BIN) is missing: cargo build $(CARGO_FLAGS) --bin turnstile" >&2; exit 1; }

.PHONY: test-clients-python
test-clients-python: test-clients-binary clients/python/.venv/installed ## Format, lints, types and tests of the Python client (TURNSTILE_TEST_LONG=1)
	cd clients/python && .venv/bin/ruff format --check && .venv/bin/ruff check && .venv/bin/mypy
	cd clients/python && TURNSTILE_BIN="$(CLIENT_TESTS_BIN)" .venv/bin/pytest

.PHONY: test-clients-typescript
test-clients-typescript: test-clients-binary ## Install, lint, build and test the TypeScript client (needs Node 20 or later)
	@node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' || { echo "make: Node 20 or later is needed, with npm; here is: $$(node --version || echo none)" >&2; exit 1; }
	cd clients/typescript && npm ci --no-audit --no-fund && npm run lint && npm run build && TURNSTILE_BIN="$(CLIENT_TESTS_BIN)" npm test

clients/python/.venv/installed: clients/python/pyproject.toml
	@command -v python3 >/dev/null || { echo "make: python3 is not installed (3.10 or later)" >&2; exit 1; }
	@python3 -m venv clients/python/.venv || { [ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get install -qqy python3-venv && python3 -m venv clients/python/.venv; }
	@clients/python/.venv/bin/python -m pip install -q --disable-pip-version-check --upgrade 'pip>=25.1'
	@cd clients/python && .venv/bin/pip install -q --disable-pip-version-check --editable . --group dev
	@touch $@

.PHONY: failover
failover: toolchain ## Kill owners, leading or not, and show how long nobody is served (RUNS=10 of each)
	@TURNSTILE_TEST_RUNS="$(or $(RUNS),10)" cargo test -q $(CARGO_FLAGS) --test cluster kills::owners -- --ignored --nocapture

.PHONY: chaos
chaos: toolchain ## Do things to clusters under load, one by one, and have what their callers saw judged (SEED=1 NEMESIS=KillOwner)
	@TURNSTILE_TEST_SEED="$(or $(SEED),1)" TURNSTILE_TEST_NEMESIS="$(NEMESIS)" cargo test -q $(CARGO_FLAGS) --test cluster chaos::no_fault -- --ignored --nocapture

.PHONY: model
model: toolchain ## Explore every order of events in a small cluster, and show how each rule left out breaks it
	@cargo test -q $(CARGO_FLAGS) --test model -- --include-ignored --nocapture --test-threads 1

.PHONY: sim
sim: toolchain ## Run the simulator: many seeds, or one again (SEEDS=10000 FIRST=1, SEED=7)
	@TURNSTILE_TEST_SEED="$(SEED)" TURNSTILE_TEST_FIRST="$(FIRST)" TURNSTILE_TEST_SEEDS="$(or $(SEEDS),10000)" \
		cargo test -q $(CARGO_FLAGS) --test sim no_seed_breaks_a_promise -- --nocapture

.PHONY: limits
limits: toolchain ## Try limits, queues and the ledger against naive oracles (CASES=1000000 of each)
	@PROPTEST_CASES="$(or $(CASES),1000000)" cargo test -q $(CARGO_FLAGS) --test limits

.PHONY: mutants
mutants: toolchain ## Plant bugs, one after the other, and see whether the simulator and chaos find each
	@cargo test -q $(CARGO_FLAGS),planted-faults --test sim every_planted_fault_is_found -- --nocapture
	@cargo test -q $(CARGO_FLAGS),planted-faults --test cluster planted_faults_are_found -- --ignored --nocapture

.PHONY: verify
verify: toolchain ## Check everything and change nothing: format, lints, the pure build, tests, docs
	cargo fmt --check
	cargo clippy $(CARGO_FLAGS) --all-targets -- -D warnings
	cargo clippy --locked --lib --no-default-features -- -D warnings -D clippy::float_arithmetic
	$(MAKE) test
	RUSTDOCFLAGS="-D warnings" cargo doc $(CARGO_FLAGS) --no-deps --document-private-items

.PHONY: fix
fix: toolchain ## Format, and apply what clippy can mend
	cargo clippy $(CARGO_FLAGS) --all-targets --fix --allow-dirty --allow-staged
	cargo fmt

.PHONY: bench
bench: toolchain ## Measure decisions, acquires and grants per second
	cargo bench $(CARGO_FLAGS)

.PHONY: deny
deny: toolchain ## Check licences and advisories of all dependencies (installs cargo-deny)
	@command -v cargo-deny >/dev/null || cargo install --locked cargo-deny
	cargo deny check

.PHONY: clean
clean: ## Remove what was built
	cargo clean

.PHONY: toolchain
toolchain:
	@command -v cargo >/dev/null || { echo "make: cargo is not installed; get it from https://rustup.rs (Rust 1.95 or later)" >&2; exit 1; }
	@command -v cc >/dev/null || { [ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get install -qqy gcc libc6-dev; } || \
		{ echo "make: there is no linker; install one: apt-get install gcc libc6-dev" >&2; exit 1; }
