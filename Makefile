# Everything that is done with DeepGuard, by name. `make` lists it.

PYTHON ?= python3
# Instruction set of the functions: x86_64 or arm64.
ARCH ?= x86_64
# More parameters of template.yaml for `make deploy`, such as NotificationEmail=me@example.com
PARAMETERS ?=
# Options of `model-builder replay` for `make run`, such as --generated
REPLAY ?=
# Which benchmarks of `make bench`, by a part of their names
ONLY ?=
# Options of the example `peers` for `make bench-peers`, such as --quick
BENCH ?=
# Other builds of the function that `make cold-start` compares, such as
# OTHERS=fat=target/fat/lambda/bootstrap/bootstrap
OTHERS ?=
# For how long `make fuzz` tries each kind of input
FUZZ_SECONDS ?= 600

export CARGO_TARGET_DIR ?= target

# The packages and features that every host build names, so that no dependency is compiled a second
# time: both backends, and with the tests also the features that only the tests' dependencies need.
# The dev profile is optimised enough for training and replay.
FEATURES = --workspace --features ndarray,functions/ndarray,model-builder/ndarray
HOST = $(FEATURES) --bins --tests
# The programs alone, without the backend that only tests and benchmarks compare with. The other
# dependencies are compiled as for the tests, so that nothing is compiled twice: check_builds.py.
PROGRAMS = --workspace --bins

# cargo-lambda, zig, the SAM CLI and cfn-lint, pinned, in an environment of their own that is made
# when first needed.
WITH_TOOLS = tools="$$($(PYTHON) tests/local_aws/environment.py tools)" && PATH="$$tools:$$PATH"
# checkov, cdk-nag and the Node.js that it runs on, in another one.
WITH_LINTS = lints="$$($(PYTHON) tests/local_aws/environment.py lints)" && PATH="$$lints:$$PATH"
LAMBDA_BUILD = cargo lambda build --release $(if $(filter arm64,$(ARCH)),--arm64,--x86-64)
BOOTSTRAP = $(CARGO_TARGET_DIR)/lambda/bootstrap/bootstrap

export SAM_CLI_TELEMETRY = 0
export PYTHONDONTWRITEBYTECODE = 1

.PHONY: help run test build package build-host model evaluate bad-night bad-week fleets load \
	bench bench-peers cold-start size faults fuzz lint fmt clippy doc backend template reference \
	requirements dependencies advisories notices repository deploy clean structure

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

run: build-host ## Deploy to a local AWS, replay a fleet, and watch the alarm ring
	@# The function as it is built for this machine. `make build`, for Lambda, takes as long again.
	@mkdir -p build/bootstrap
	@copy="build/bootstrap.$$$$" && strip -o $$copy $(CARGO_TARGET_DIR)/debug/bootstrap && \
		mv $$copy build/bootstrap/bootstrap
	@echo "The function is the development build for this machine;" \
		"make build makes the one for Lambda."
	@$(PYTHON) tests/local_aws/journey.py -- $(REPLAY)

test: build ## All tests, the end-to-end ones on the local AWS included
	cargo test $(FEATURES)
	cargo build $(HOST)
	$(PYTHON) tests/local_aws/run_all.py

bad-night: build build-host ## A bad night of twelve machines on a local AWS: docs/bad-night.md
	$(PYTHON) tests/local_aws/bad_night.py --document docs/bad-night.md

bad-week: ## A bad week of 200 machines at a scripted AWS: docs/bad-week.md, and a picture
	cargo build $(FEATURES) -p functions --example bad_week
	$(CARGO_TARGET_DIR)/debug/examples/bad_week --out docs

build: ## The bootstrap of both functions for Lambda, into build/bootstrap
	$(WITH_TOOLS) $(LAMBDA_BUILD) -p functions --bin bootstrap --lambda-dir $(CARGO_TARGET_DIR)/lambda
	@mkdir -p build/bootstrap
	@# Replaced at once and only if it changed: another run may be packing it.
	@cmp -s $(BOOTSTRAP) build/bootstrap/bootstrap || \
		{ copy="build/bootstrap.$$$$" && cp $(BOOTSTRAP) $$copy && mv $$copy build/bootstrap/bootstrap; }

package: build ## A release in build/package: zip, bill of materials, notices, checksums
	@# In that environment the bill of materials is held to its schema.
	@$(WITH_LINTS) && python tests/package.py

build-host: ## model-builder and the function, for this machine
	cargo build $(PROGRAMS)

model: build-host ## Train the default model again, bit for bit
	$(CARGO_TARGET_DIR)/debug/model-builder train --out models/default.safetensors --date 2026-11-26

evaluate: build-host ## How well does the default model detect? build/evaluation, docs/model-card.md
	$(CARGO_TARGET_DIR)/debug/model-builder evaluate --artifact models/default.safetensors \
		--out build/evaluation --card docs/model-card.md

fleets: build-host ## What do fleets of 10 to 1,000 machines tell their people? docs/fleets.md
	$(CARGO_TARGET_DIR)/debug/model-builder fleets --artifact models/default.safetensors --out docs

load: build ## How large may the fleet be? A table and a picture in docs/
	cargo build $(FEATURES) -p functions --example load
	$(CARGO_TARGET_DIR)/debug/examples/load --bootstrap build/bootstrap/bootstrap --out docs

bench: ## How long do kernel, scoring, loading, planning and parsing take?
	cargo bench --profile dev $(FEATURES) --bench scoring --bench planner --bench nab -- $(ONLY)

bench-peers: ## How fast beside PyTorch and ONNX Runtime? Tables and pictures in docs/
	cargo build $(FEATURES) -p model-builder --example peers
	@peers="$$($(PYTHON) tests/local_aws/environment.py peers)" && \
		$(CARGO_TARGET_DIR)/debug/examples/peers --python "$$peers/python" --out docs $(BENCH)

cold-start: build ## How soon is a new process ready? Tables in docs/performance.md, and a picture
	$(WITH_TOOLS) $(LAMBDA_BUILD) -p empty-function --bin empty --lambda-dir $(CARGO_TARGET_DIR)/lambda
	cargo build $(FEATURES) -p functions --example cold_start
	$(CARGO_TARGET_DIR)/debug/examples/cold_start --bootstrap build/bootstrap/bootstrap \
		--empty $(CARGO_TARGET_DIR)/lambda/empty/bootstrap $(OTHERS:%=--other %) \
		--document docs/performance.md --picture docs/images/cold-start.png

size: ## What are the bootstrap's bytes? Builds anew; tables in docs/performance.md
	$(WITH_TOOLS) CARGO_PROFILE_RELEASE_STRIP=false $(LAMBDA_BUILD) -p functions --bin bootstrap \
		--lambda-dir $(CARGO_TARGET_DIR)/unstripped
	$(PYTHON) tests/size.py $(CARGO_TARGET_DIR)/unstripped/bootstrap/bootstrap \
		--document docs/performance.md

faults: build-host ## Every fault at every stage, 200 random schedules, 50 kills in two days
	cargo test $(FEATURES) -p functions --test faults --test kill -- --nocapture

fuzz: ## Wrong input of every kind, for ten minutes each
	FUZZ_SECONDS=$(FUZZ_SECONDS) cargo test $(FEATURES) -p functions --test fuzz -- --nocapture
	FUZZ_SECONDS=$(FUZZ_SECONDS) cargo test $(FEATURES) -p model-builder wrong_files -- --nocapture

lint: fmt clippy doc backend template repository dependencies ## All checks that need no test run

fmt: ## Is the code formatted?
	cargo fmt --all --check

clippy: ## Lints of the Rust code, warnings are errors
	cargo clippy $(FEATURES) --all-targets -- -D warnings

doc: ## The documentation of the Rust code, warnings are errors
	RUSTDOCFLAGS="-D warnings" cargo doc $(FEATURES) --no-deps --document-private-items

backend: ## Does the domain build with the other backend alone?
	cargo check -p deepguard --no-default-features --features ndarray

template: ## Lints of template.yaml and shards.asl.json: cfn-lint, checkov, cdk-nag and our own
	$(WITH_TOOLS) sam validate --lint --template-file template.yaml --region us-east-1
	@# The added rules are those of AWS for serverless applications. The template says which rules
	@# of all these programs it does not follow, and why.
	$(WITH_TOOLS) && cfn-lint --regions ALL_REGIONS --append-rules cfn_lint_serverless.rules \
		--template template.yaml
	@# cfn-lint reads only the template itself, no file that the template names.
	$(WITH_TOOLS) && $(PYTHON) tests/state_machine.py | cfn-lint
	$(WITH_TOOLS) && python tests/check_template.py
	@# Last, because it takes the longest. It is here and no target of its own, so that one command
	@# tells everything about the template, in well under a minute.
	$(WITH_LINTS) && python tests/lint_template.py

reference: ## The tables of docs/reference.md that are made of the template and of the code
	$(WITH_TOOLS) && python tests/check_template.py --write
	WRITE_REFERENCE=1 cargo test $(FEATURES) -p functions --test reference --quiet

# Keeps the versions of the .txt that fit the .in. Takes the newest versions if the .txt is gone.
# `universal`: one file for every system and for every Python from that version on.
LOCK = uv pip compile --quiet --no-config --universal --generate-hashes --no-annotate \
	--custom-compile-command "make requirements"

requirements: ## The requirements-*.txt, with hashes, from the requirements-*.in
	@lock="$$($(PYTHON) tests/local_aws/environment.py lock)" && PATH="$$lock:$$PATH" && set -e; \
	for each in aws cli tools lints lock; do \
		file=tests/local_aws/requirements-$$each; \
		$(LOCK) --python-version 3.10 $$file.in --output-file $$file.txt; \
	done; \
	file=tests/peers/requirements-peers; \
	$(LOCK) --python-version 3.11 --no-deps $$file.in --output-file $$file.txt

# cargo-deny is compiled once: a minute and a half of processor time without optimisation.
DENY_VERSION = 0.20.2
DENY_ROOT = $(abspath $(or $(DEEPGUARD_LOCAL),.local))/cargo-deny-$(DENY_VERSION)
DENY = $(DENY_ROOT)/bin/cargo-deny

$(DENY):
	CARGO_PROFILE_DEV_DEBUG=0 cargo install --quiet --locked --debug cargo-deny \
		--version $(DENY_VERSION) --root $(DENY_ROOT) --target-dir $(DENY_ROOT)/build
	rm -rf $(DENY_ROOT)/build

# Fetches first, so that the following checks need no network. Leaves out warnings: `--log-level
# warn` has them.
dependencies: $(DENY) ## Licences and sources of all crates; are notices and SBOM up to date?
	cargo fetch --locked
	$(DENY) --workspace --locked --offline --log-level error check bans licenses sources
	$(PYTHON) tests/notices.py --check
	$(PYTHON) tests/package.py --check

advisories: $(DENY) ## Have any of the crates known faults? Clones the RustSec database
	$(DENY) --workspace --locked check advisories

notices: ## THIRD_PARTY.md: whose code is in the bootstrap, under which licences
	$(PYTHON) tests/notices.py

structure: ## Which room of the code knows which, is any file too long, what compiles twice?
	$(PYTHON) tests/check_structure.py
	$(PYTHON) tests/check_builds.py

repository: ## Do the documents name only real things, do lines fit, are no data committed?
	$(PYTHON) tests/check_repository.py

deploy: build ## Deploy to the AWS account that your credentials are for
	$(WITH_TOOLS) sam deploy --parameter-overrides Architecture=$(ARCH) $(PARAMETERS)

clean: ## Remove everything that was built or set up
	cargo clean
	rm -rf build .local
