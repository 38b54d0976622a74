# All tasks of developers and CI. `make help` lists them.
#
# The environment is .venv, made once and refreshed when a lock or pyproject.toml changes. Stamps record its
# contents: .venv/.run (the packages to serve and to run the demo), .venv/.dev (those and every tool), .venv/.browser (and Playwright).

SHELL := /bin/sh
.DEFAULT_GOAL := help

PYTHON ?= python3
UV_VERSION := 0.13.9
# What `make bench` compares with.
LITELLM_VERSION := 1.108.7
PORTKEY_VERSION := 1.15.2
LINTERS := @redocly/cli@2.77.0 @stoplight/spectral-cli@6.16.3 @grafana/schema@13.2.3 typescript@5.9.3 axe-core@4.14.1
LOCKS := deploy/requirements
BIN := .venv/bin
PIP := $(BIN)/python -u -m pip --disable-pip-version-check --no-input

# $(call timed,TASK,COMMAND) prints a task and its duration; $(call install,LOCK) also prints each package, so that
# terminals and logs show progress. pip writes errors to standard error.
timed = began=$$(date +%s); echo '$(1) ...'; $(2) && echo "$(1): done after $$(($$(date +%s) - began)) s"
install = count=0; of=$$(grep -c '^[a-z0-9].*==' $(1)); $(call timed,$(1): its packages, \
	{ $(PIP) install --require-hashes --no-deps -r $(1) || code=$$?; echo "Ended $${code:-0}"; } | while read -r word what _; do \
		case $$word in \
			(Collecting | Processing) count=$$((count + 1)); printf '  %3s of %s  %s\n' $$count $$of "$$(basename "$$what")";; \
			(Requirement | Ignoring) count=$$((count + 1));; \
			(Installing) echo "$(1): got them after $$(($$(date +%s) - began)) s; installing them ...";; \
			(Ended) exit $$what;; \
		esac; \
	done)

# Tests wait more than they work, so there are three times as many workers as cores on a machine of two. The tests of
# one file stay together because they share servers.
PARALLEL := -n 6 --dist loadfile --no-loadscope-reorder
ALL := -m 'not clients and not sdks and not fuzz and not jdk and not container and not deploy and not browser'

# A developer's exported key or setting must not buy images, change a test or open a bucket: the remaining environment
# names no provider, gateway or cloud, in upper or lower case, as settings ignore case. Python may write its bytecode:
# otherwise every process that tests start would compile the service again.
STRIPPED := env -u PYTHONDONTWRITEBYTECODE -u OPENAI_API_KEY -u OPENAI_BASE_URL -u OPENAI_ORG_ID -u OPENAI_PROJECT_ID \
	$$(env | awk -F= 'tolower($$1) ~ /^(gateway|openai|aws|azure|google)_[a-z0-9_]+$$/ { print "-u", $$1 }')

# Replace an environment that was copied here or lost its interpreter.
ifneq ($(shell [ "$$(cat .venv/.made 2>/dev/null)" = "$(CURDIR)" ] && $(BIN)/python -c 'print("ready")' 2>/dev/null),ready)
.PHONY: .venv/.made
endif

##@ Use it

.PHONY: run
run: .venv/.run ## Set up (once) and serve on http://127.0.0.1:8080; GATEWAY_PORT changes the port
	@exec $(BIN)/image-gateway serve

.PHONY: demo
demo: .venv/.run ## Make four images on free ports with the sandbox, show cache and limit, stop
	@exec $(STRIPPED) $(BIN)/python -m service.demo

##@ Work on it

.PHONY: test
test: .venv/.dev ## Run the suite without its slow tests, in at most three minutes; ARGS="-k name" narrows it
	@exec $(STRIPPED) $(BIN)/python -m pytest $(PARALLEL) $(ARGS)

.PHONY: test-all
test-all: .venv/.dev ## Run the whole suite
	@exec $(STRIPPED) $(BIN)/python -m pytest $(PARALLEL) $(ALL) $(ARGS)

.PHONY: cover
cover: .venv/.dev ## Run the whole suite and show the branches it missed
	@exec $(STRIPPED) $(BIN)/python -m pytest $(PARALLEL) $(ALL) --cov --cov-report=term-missing $(ARGS)

.PHONY: check
check: .venv/.dev ## Lint, formatting, types, layers, dependencies, spelling
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/deptry service
	$(BIN)/codespell

.PHONY: lint-openapi
lint-openapi: .venv-lint/.made ## Lint openapi/openapi.yaml with Redocly and Spectral (needs npm)
	@REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true \
		.venv-lint/node_modules/.bin/redocly lint --config openapi/redocly.yaml openapi/openapi.yaml
	@.venv-lint/node_modules/.bin/spectral lint --ruleset openapi/spectral.yaml --fail-severity hint openapi/openapi.yaml

.PHONY: lint-deploy
lint-deploy: .venv/.dev .venv-deploy/.made ## Render deploy/kubernetes, check its schemas, its numbers and the rules of tests/kubernetes
	@exec $(STRIPPED) $(BIN)/python -m pytest -m deploy tests/kubernetes $(ARGS)

.PHONY: format
format: .venv/.dev ## Apply formatting, import order and safe fixes
	$(BIN)/ruff check --fix-only --quiet
	$(BIN)/ruff format

.PHONY: bench
bench: .venv/.dev ## Measure CPU, latency and memory beside LiteLLM, Portkey, nginx and others, 30 minutes; ARGS=--help lists parts
	@exec $(STRIPPED) $(BIN)/python -m tests.bench $(ARGS)

.PHONY: chaos
chaos: .venv/.dev ## Try overload, faults and attacks on real processes, print a table; ARGS="--short" takes less than two minutes
	@exec $(STRIPPED) $(BIN)/python -m tests.chaos $(ARGS)

.PHONY: soak
soak: .venv/.dev ## Order for ten minutes while each part fails in turn, judge memory and books; ARGS="--seconds 90" is shorter
	@exec $(STRIPPED) $(BIN)/python -m tests.chaos.soak $(ARGS)

.PHONY: incidents
incidents: .venv/.dev ## Break six things, print the panel and the alert that tell each; ARGS="redis key" takes two (needs Prometheus)
	@command -v prometheus >/dev/null || { echo 'Needed: sudo apt-get install prometheus' >&2; exit 1; }
	@exec $(STRIPPED) $(BIN)/python -m tests.observe.incidents $(ARGS)

.PHONY: observe
observe: .venv/.dev .venv-lint/.made ## Prove dashboards and alerts on a real Prometheus, print a table; ARGS="--short" takes about two minutes
	@command -v prometheus >/dev/null && command -v promtool >/dev/null || { echo 'Needed: sudo apt-get install prometheus' >&2; exit 1; }
	@exec $(STRIPPED) $(BIN)/python -m tests.observe $(ARGS)

.PHONY: dashboard-images
dashboard-images: .venv/.dev .venv-draw/.made ## Load two gateways for four minutes, draw each dashboard into docs/images (needs npm, Chromium and Prometheus)
	@command -v prometheus >/dev/null && command -v chromium >/dev/null || { echo 'Needed: sudo apt-get install prometheus chromium' >&2; exit 1; }
	@exec $(STRIPPED) $(BIN)/python -m tests.observe.images --packages .venv-draw/node_modules $(ARGS)

.PHONY: test-upgrade
test-upgrade: .venv/.dev ## Roll two gateways from an earlier version to this one and back, under load; ARGS=<commit> names it
	@exec $(STRIPPED) $(BIN)/python -m tests.upgrade $(ARGS)

.PHONY: test-jdk
test-jdk: .venv/.dev ## Call the gateway from a real Java HttpClient (needs javac, 17 or newer)
	@command -v javac >/dev/null || { echo 'A JDK is needed: sudo apt-get install openjdk-17-jdk-headless' >&2; exit 1; }
	@exec $(STRIPPED) $(BIN)/python -m pytest -m jdk tests/jdk tests/snippets $(ARGS)

.PHONY: test-browser
test-browser: .venv/.browser .venv-lint/.made ## Use the pages in Chromium: orders, edits, languages, themes, keyboard, axe-core (needs chromium and npm)
	@command -v chromium >/dev/null || { echo 'Chromium is needed: sudo apt-get install chromium' >&2; exit 1; }
	@exec $(STRIPPED) $(BIN)/python -m pytest -n 2 --dist loadfile -m browser tests/browser $(ARGS)

.PHONY: page-images
page-images: .venv/.browser ## Take images of the page for the documents into docs/images (needs chromium)
	@exec $(STRIPPED) $(BIN)/python -m tests.browser.images

.PHONY: test-clients
test-clients: .venv/.dev .venv-lock/.made ## Try SDKs of every age, Azure's and frameworks on the gateway; writes docs/compatibility.md (needs npm)
	@command -v npm >/dev/null || { echo 'Node.js 20 or newer with npm is needed: sudo apt-get install nodejs npm' >&2; exit 1; }
	@exec $(STRIPPED) $(BIN)/python -m pytest -m clients tests/compatibility tests/snippets --write-table docs/compatibility.md $(ARGS)

.PHONY: sdks
sdks: .venv/.dev .venv-lock/.made ## Generate the Python, TypeScript and Java SDKs into dist/sdks (needs npm and Java)
	@command -v npm >/dev/null && command -v java >/dev/null || { echo 'npm and Java are needed: sudo apt-get install nodejs npm openjdk-17-jdk-headless' >&2; exit 1; }
	@exec $(STRIPPED) $(BIN)/python -m tests.sdks.generate dist/sdks

.PHONY: test-sdks
test-sdks: .venv/.dev .venv-lock/.made ## Generate SDKs, compile them strictly, run them on the gateway; writes docs/sdks.md (needs npm and a JDK)
	@command -v npm >/dev/null && command -v javac >/dev/null && ls /usr/share/java/httpmime.jar /usr/share/java/jakarta-annotation-api.jar /usr/share/java/jsr305.jar >/dev/null \
		|| { echo 'Needed: sudo apt-get install nodejs npm openjdk-17-jdk-headless libhttpmime-java libjakarta-annotation-api-java libjsr305-java' >&2; exit 1; }
	@exec $(STRIPPED) $(BIN)/python -m pytest -m sdks tests/sdks --write-sdks docs/sdks.md $(ARGS)

.PHONY: fuzz
fuzz: .venv/.dev .venv-lock/.made ## Send arbitrary requests: 5,000 by the contract, 10,000 of raw bytes; ARGS="--fuzz-seconds 60" stops earlier
	@exec $(STRIPPED) $(BIN)/python -m pytest -m fuzz -s -q tests/fuzz $(ARGS)

.PHONY: test-container
test-container: .venv/.dev ## Build the image, compose it, order through HAProxy, replace gateways under load (needs Docker, or root on Debian)
	@exec $(STRIPPED) $(BIN)/python -m tests.container $(ARGS)

.PHONY: dashboards
dashboards: .venv/.dev ## Write deploy/grafana/dashboards from the code in deploy/grafana
	@exec $(BIN)/python -m deploy.grafana.build

.PHONY: lock
lock: .venv-lock/.made ## Regenerate the hashed requirements; UPGRADE=1 takes newer releases
	@set -e; \
	compile() { \
		out=$(LOCKS)/$$1; shift; \
		.venv-lock/bin/uv pip compile "$$@" --output-file "$$out" --quiet --universal --python-version 3.11 \
			--generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' >/dev/null; \
		echo "  $$out: $$(grep -c '^[a-z0-9].*==' "$$out") packages"; \
	}; \
	compile dev.txt pyproject.toml --all-extras --group dev $(if $(UPGRADE),--upgrade); \
	compile run.txt pyproject.toml --all-extras --group build --constraint $(LOCKS)/dev.txt --no-annotate; \
	compile runtime.txt pyproject.toml --extra otel --constraint $(LOCKS)/dev.txt --no-annotate; \
	compile build.txt --group build --constraint $(LOCKS)/dev.txt --no-annotate; \
	compile sbom.txt --group sbom --constraint $(LOCKS)/dev.txt --no-annotate $(if $(UPGRADE),--upgrade); \
	compile browser.txt --group browser --constraint $(LOCKS)/dev.txt --no-annotate $(if $(UPGRADE),--upgrade); \
	compile deploy.txt --group deploy $(if $(UPGRADE),--upgrade); \
	if grep -nE 'index-url|find-links|://|^file:' $(LOCKS)/*.txt; then echo 'A lock names an index.' >&2; exit 1; fi

.PHONY: clean
clean: ## Remove environments, caches and the demo's images; keeps .data
	rm -rf .venv .venv-bench .venv-clients .venv-deploy .venv-draw .venv-lint .venv-lock out dist build htmlcov .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage .coverage.*
	find service tests deploy -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help
help: ## Show this list
	@awk 'BEGIN { FS = ":.*## " } /^##@ / { printf "\n%s\n", substr($$0, 5) } /^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' Makefile

# The environment

.venv/.made:
	@command -v "$(PYTHON)" >/dev/null 2>&1 \
		&& "$(PYTHON)" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 \
		|| { echo "$(PYTHON) must be Python 3.11 or newer with its venv module: sudo apt-get install python3 python3-venv (or name another: make PYTHON=python3.13 ...)" >&2; exit 1; }
	@echo 'Setting up .venv (once; a minute or so)'
	@rm -rf .venv
	@$(call timed,an environment of $(PYTHON),"$(PYTHON)" -m venv .venv)
	@printf '%s\n' "$(CURDIR)" > $@

.venv/.run: .venv/.made pyproject.toml $(LOCKS)/run.txt
	@$(call install,$(LOCKS)/run.txt)
	@$(call timed,this project,$(PIP) install -qq --no-deps --no-build-isolation --no-index --editable .)
	@touch $@

.venv/.dev: .venv/.run $(LOCKS)/dev.txt
	@$(call install,$(LOCKS)/dev.txt)
	@touch $@

.venv/.browser: .venv/.dev $(LOCKS)/browser.txt
	@$(call install,$(LOCKS)/browser.txt)
	@touch $@

.venv-lock/.made: Makefile
	@rm -rf .venv-lock
	@"$(PYTHON)" -m venv .venv-lock
	@.venv-lock/bin/python -m pip --disable-pip-version-check --no-input -qq install uv==$(UV_VERSION)
	@touch $@

.venv-bench/litellm/.made: Makefile
	@rm -rf .venv-bench/litellm && mkdir -p .venv-bench
	@"$(PYTHON)" -m venv .venv-bench/litellm
	@.venv-bench/litellm/bin/python -m pip --disable-pip-version-check --no-input -qq install 'litellm[proxy]==$(LITELLM_VERSION)'
	@touch $@

.venv-bench/portkey/.made: Makefile
	@command -v npm >/dev/null || { echo 'Node.js 20 or newer with npm is needed: sudo apt-get install nodejs npm' >&2; exit 1; }
	@rm -rf .venv-bench/portkey && mkdir -p .venv-bench/portkey && echo '{"private": true}' > .venv-bench/portkey/package.json
	@npm install --prefix .venv-bench/portkey --save-exact --ignore-scripts --no-audit --no-fund --loglevel=error @portkey-ai/gateway@$(PORTKEY_VERSION)
	@touch $@

.venv-deploy/.made: $(LOCKS)/deploy.txt
	@rm -rf .venv-deploy
	@"$(PYTHON)" -m venv .venv-deploy
	@.venv-deploy/bin/python -m pip --disable-pip-version-check --no-input -qq install --require-hashes --no-deps -r $(LOCKS)/deploy.txt
	@touch $@

.venv-lint/.made: Makefile
	@command -v npm >/dev/null || { echo 'Node.js 20 or newer with npm is needed: sudo apt-get install nodejs npm' >&2; exit 1; }
	@rm -rf .venv-lint && mkdir .venv-lint && echo '{"private": true}' > .venv-lint/package.json
	@npm install --prefix .venv-lint --save-exact --no-audit --no-fund --loglevel=error $(LINTERS)
	@touch $@

.venv-draw/.made: tests/observe/draw/package-lock.json
	@command -v npm >/dev/null || { echo 'Node.js 20 or newer with npm is needed: sudo apt-get install nodejs npm' >&2; exit 1; }
	@rm -rf .venv-draw && mkdir .venv-draw && cp tests/observe/draw/package.json tests/observe/draw/package-lock.json .venv-draw
	@$(call timed,the components of Grafana,npm ci --prefix .venv-draw --ignore-scripts --legacy-peer-deps --no-audit --no-fund --loglevel=error)
	@touch $@
