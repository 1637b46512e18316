# Every target prepares the clone first; that takes no time once it is done. See docs/setup.md.
RUN := sh tools/run.sh
VENV := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help setup demo test bench shell coldsnap vcenter doctor clean distclean

help: ## Show this
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

setup: ## Prepare this clone: virtual environment, pinned packages, Pulumi engine
	@$(RUN) tools.setup

demo: setup ## Migrate two machines into a local AWS; KEEP=1 leaves it running, SOURCE=... chooses the source, SCENARIO=shop the way of an application, SCENARIO=gitops that of a pull request
	@KEEP="$(KEEP)" SOURCE="$(SOURCE)" SCENARIO="$(SCENARIO)" $(VENV)/python -m tools.demo

test: setup ## Check style, types and boundaries, and run the tests; ARGS=... goes to pytest
	@$(RUN) tools.check $(ARGS)

bench: setup ## Measure; PART=pipeline, sources, vsphere, hyperv, vhd, control or engine for one of them, ARGS=... goes to it (PART=pipeline ARGS=--quick)
	@for part in $(or $(PART),pipeline sources vsphere hyperv vhd control engine); do \
		$(VENV)/python -m bench.$$part $(ARGS) || failed="$$failed $$part"; \
	done; test -z "$$failed" || { echo "failed:$$failed"; exit 1; }

shell: setup ## Open a shell with pulumi and rehost; after `make demo KEEP=1`, with its sandbox
	@$(RUN) tools.shell

coldsnap: ## Build coldsnap with cargo; the tests hold the sandbox to it
	@$(RUN) tools.coldsnap

vcenter: ## Build the vCenter simulator with Go, for the tests and the demo of vSphere
	@$(RUN) tools.vsphere_sim

doctor: setup ## Say what this machine lacks, and what that costs
	@$(VENV)/rehost doctor

clean: ## Remove what the demo and the tests leave behind
	@rm -rf build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

distclean: clean ## Remove what set-up made, too; the stacks' state in .pulumi stays
	@rm -rf .venv .cache *.egg-info
