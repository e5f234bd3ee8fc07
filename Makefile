# `make help` lists what there is. Each target makes what it needs, and nothing twice.
VENV := .venv
BIN := $(VENV)/bin
CHECKED := engine operations tests benchmarks generator.py setup.py
# Extra words for pytest, for example: make test ARGS="-k kafka -x"
ARGS ?=
# A file of tests is one worker's. In their own order, since the files of few cases, which would come last, take longest.
WORKERS := -n 2 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help run test chaos lint format bench venv java servers clean

help: ## what there is
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

run: $(VENV)/.installed ## install, then run a config on the built-in simulator (about 20 seconds)
	@rm -rf configs/demo.checkpoint configs/demo.sqlite*
	@home=$$(.ci/java) && JAVA_HOME=$$home $(BIN)/ts-engine run configs/demo.json

test: lint ## lint, then every test, real servers included
	@home=$$(.ci/java) && JAVA_HOME=$$home $(BIN)/python -m pytest $(WORKERS) $(ARGS)

chaos: export WORLDS ?= 80
chaos: venv ## a run killed a hundred times (ARGS=300: three hundred), and two thousand random configs
	@home=$$(.ci/java) && JAVA_HOME=$$home $(BIN)/python -m tests.kills $(ARGS)
	@home=$$(.ci/java) && JAVA_HOME=$$home $(BIN)/python -m pytest tests/test_properties.py

lint: venv ## ruff, mypy and the direction of the imports
	$(BIN)/ruff check $(wildcard $(CHECKED))
	$(BIN)/ruff format --check $(wildcard $(CHECKED))
	$(BIN)/mypy
	$(BIN)/lint-imports

format: venv ## what ruff can mend by itself
	$(BIN)/ruff check --fix $(wildcard $(CHECKED))
	$(BIN)/ruff format $(wildcard $(CHECKED))

bench: venv ## the benchmarks; they take a while and want a quiet machine
	@home=$$(.ci/java) && JAVA_HOME=$$home $(BIN)/python -m benchmarks $(ARGS)

venv: $(VENV)/.installed-test ## the virtual environment with the tools of the tests

java: ## find Java 17 or newer, or install it where that is allowed
	@.ci/java

servers: ## install what Debian has of the tests' servers, where that is allowed
	@.ci/servers

clean: ## remove what the targets above made
	rm -rf $(VENV) build dist *.egg-info spark-warehouse metastore_db derby.log
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	rm -rf configs/*.checkpoint configs/*.sqlite
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps: pip runs again only when a version or a dependency has changed.
INSTALL = $(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e
PINS := pyproject.toml setup.py constraints.txt

$(VENV)/.installed: $(PINS)
	@.ci/python $(VENV)
	@echo "installing into $(VENV): Spark is 450 MB, so the first time takes a minute or two"
	@$(INSTALL) .
	@touch $@

# The tests' extras are a superset: `make test` alone installs once.
$(VENV)/.installed-test: $(PINS)
	@.ci/python $(VENV)
	@echo "installing into $(VENV), with the tools of the tests: the first time takes a minute or two"
	@$(INSTALL) '.[test]'
	@touch $(VENV)/.installed $@
