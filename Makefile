# Every target is documented by the `##` behind it; `make` alone lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help demo test lint unit e2e bench generate verify image setup clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: setup ## Show the main job on real parts: one binding gives a pod its token (KEEP=1 leaves it running)
	@cargo build --quiet --package workload-identity-operator --package wio-azure-sim
	@cargo run --quiet --package wio-e2e --bin demo

test: ## Everything: lint, unit tests, end-to-end tests
	@hack/timed lint unit setup e2e

lint: ## Formatting, clippy, generated files, the direction of dependencies
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- --deny warnings
	cargo xtask verify

unit: ## Everything that needs no server: core, azure, simulator, controller
	cargo test --quiet

setup: ## Build and fetch the real parts once: kube-apiserver, etcd, the pod webhook, kubectl, Helm, Azure's Python clients
	@e2e/setup

e2e: setup ## End-to-end tests on the real parts
	cargo xtask compare --kubectl .build/e2e/bin/kubectl --helm .build/e2e/bin/helm
	cargo build --quiet --package workload-identity-operator --package wio-azure-sim
	cargo test --quiet --package wio-e2e

bench: setup ## Print the figures of docs/bench beside their bars
	@cargo build --quiet --release --package workload-identity-operator --package wio-azure-sim
	@cargo run --quiet --release --package wio-e2e --bin bench

generate: ## Write the CRDs, RBAC and the API reference anew
	cargo xtask generate

verify: ## Fail when a generated file differs from what would be generated
	cargo xtask verify

image: ## Build the image from scratch, without Docker
	@image/build

clean: ## Remove everything that was built or fetched
	cargo clean
	rm -rf .build
