# Every target is documented by the `##` behind it; `make` alone lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help demo abuse test lint workflows deny alerts unit simulate model mutants e2e compat gitops az quickstart signatures bench bench-large bench-peers bench-traces generate verify image reproduce setup clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Show the main job on real parts: one binding gives a pod its token (KEEP=1 leaves it running)
	@hack/demo

abuse: setup ## Try what a tenant may try to gain another's identity or role, and print what each layer answers
	@hack/abuse

test: ## Everything: lint, unit tests, end-to-end tests, alerts and dashboard
	@hack/timed lint unit setup e2e alerts

lint: ## Formatting, clippy, generated files, the direction of dependencies, and what is linked (make deny)
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --features workload-identity-operator/otlp --quiet -- --deny warnings
	cargo xtask verify
	@hack/deny

workflows: ## Check .github: actionlint and zizmor, which are fetched once; asks nothing of GitHub
	@hack/workflows

deny: ## Check licences, bans, sources and advisories of what is linked (deny.toml) with cargo-deny, which is fetched once; a part of lint
	@hack/deny

alerts: setup ## Try the alert rules, as the chart renders them, with promtool, and the dashboard with Prometheus, which are built once (two minutes)
	@e2e/setup prometheus
	cargo xtask alerts --helm .build/e2e/bin/helm --promtool .build/e2e/bin/promtool
	@hack/progress "building operator, simulator and plugin" cargo build --package workload-identity-operator --package wio-azure-sim --package wio-cli
	@hack/progress "building the tests" cargo test --no-run --package wio-e2e
	cargo test --quiet --package wio-e2e --test e2e -- --ignored dashboard::

unit: ## Everything that needs no server: core, azure, simulator, controller
	cargo test --quiet --features workload-identity-operator/otlp

simulate: ## Play drawn plans of actions and faults for a minute (SEED=n repeats one and tells its story; PLANS=, SECONDS_AT_MOST=)
	@hack/progress "building the simulation" cargo build --profile simulate --package wio-simulation
	@target/simulate/simulate

model: ## Explore what two operators can do with two bindings on one identity, and show that each rule that is left out is seen
	@hack/progress "building the model" cargo build --profile simulate --package wio-model
	@target/simulate/model

mutants: ## Change the core in small ways and tell which change no test notices (MINUTES=10, FILE="plan/*.rs"; EACH=1 builds each for itself)
	@hack/mutants

setup: ## Build and fetch the real parts once: kube-apiserver, etcd, the pod webhook, kubectl, Helm, Azure's Python clients
	@e2e/setup

e2e: setup ## End-to-end tests on the real parts
	@hack/progress "comparing config with the chart" cargo xtask compare --kubectl .build/e2e/bin/kubectl --helm .build/e2e/bin/helm
	@hack/progress "building operator, simulator and plugin" cargo build --package workload-identity-operator --package wio-azure-sim --package wio-cli
	@hack/progress "building the tests" cargo test --no-run --package wio-e2e
	cargo test --quiet --package wio-e2e

compat: setup ## End-to-end tests on each version of Kubernetes that is supported, and the table in docs/compatibility.md (VERSION=1.36 for one; the first time builds each, in 7 minutes)
	@hack/compat

gitops: setup ## End-to-end tests of Argo CD with what config/argocd tells it; the first time builds it, in a quarter of an hour
	@e2e/setup argocd
	@hack/progress "building operator, simulator and plugin" cargo build --package workload-identity-operator --package wio-azure-sim --package wio-cli
	@hack/progress "building the tests" cargo test --no-run --package wio-e2e
	cargo test --quiet --package wio-e2e --test e2e -- --ignored argocd::

signatures: setup ## Sign a release by the real cosign in a registry on loopback, and verify it (cosign is built once, in some minutes)
	@e2e/setup cosign
	@hack/progress "building operator, simulator and plugin" cargo build --package workload-identity-operator --package wio-azure-sim --package wio-cli
	@hack/progress "building the tests" cargo test --no-run --package wio-e2e
	cargo test --quiet --package wio-e2e --test e2e -- --ignored release::

az: ## Run every Azure CLI command of the documents, but the quick start's, with the real CLI (700 MB) against the simulator
	@hack/az

quickstart: setup ## Follow docs/quickstart.md with the real CLIs against the simulator, and compare what is printed with the page
	@hack/quickstart

bench: setup ## Print figures beside their bars, and write them into docs/bench
	@hack/progress "building operator, simulator and bench for release" cargo build --release \
		--package workload-identity-operator --package wio-azure-sim --package wio-e2e \
		--bin workload-identity-operator --bin azure-sim --bin bench
	@cargo run --quiet --release --package wio-e2e --bin bench -- --write

bench-large: setup ## Print what 10,000 and 50,000 Ready bindings cost beside the bars, and write it into docs/bench/large.md (half an hour)
	@hack/progress "building operator, simulator and bench for release" cargo build --release \
		--package workload-identity-operator --package wio-azure-sim --package wio-e2e \
		--bin workload-identity-operator --bin azure-sim --bin bench
	@cargo run --quiet --release --package wio-e2e --bin bench -- --write --large 10000 --large 50000 --strangers 100000

bench-peers: setup ## Give Microsoft's Azure Service Operator and this one the same work, and write docs/bench/peers.md (COUNTS="50 150 300"; the first time builds it, in half an hour of processor time; then half an hour)
	@e2e/setup azure-service-operator
	@hack/progress "building operator, simulator and bench for release" cargo build --release \
		--package workload-identity-operator --package wio-azure-sim --package wio-e2e \
		--bin workload-identity-operator --bin azure-sim --bin bench
	@cargo run --quiet --release --package wio-e2e --bin bench -- --write $(patsubst %,--peers %,$(or $(COUNTS),50 150))

bench-traces: setup ## Print what traces by OTLP cost, for docs/traces.md (the operator is built for release twice; then three minutes)
	@hack/progress "building the operator for release" cargo build --release --target-dir target/traces --package workload-identity-operator
	@cp target/traces/release/workload-identity-operator target/traces/without
	@hack/progress "building it with traces" cargo build --release --target-dir target/traces --package workload-identity-operator --features otlp
	@cp target/traces/release/workload-identity-operator target/traces/with
	@hack/progress "building operator and simulator" cargo build --package workload-identity-operator --package wio-azure-sim
	@cargo run --quiet --package wio-e2e --bin bench -- --traces target/traces/without target/traces/with

generate: ## Write the CRDs, RBAC and the API reference anew
	cargo xtask generate

verify: ## Fail when a generated file differs from what would be generated
	cargo xtask verify

image: ## Build the image from scratch, without Docker (ARCHITECTURES="amd64 arm64" for both)
	@image/build $(ARCHITECTURES)

reproduce: ## Build the image twice, in two folders and from nothing, and compare byte for byte (a quarter of an hour)
	@ARCHITECTURES="$(ARCHITECTURES)" hack/reproduce

clean: ## Remove everything that was built or fetched
	cargo clean
	rm -rf .build
