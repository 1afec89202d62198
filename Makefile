# One target for each task. `make demo` and `make test` need only python3 with venv, and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help demo test long quick kills install edge kafka registry postgres page man release-check docs helm lint bench chaos matching fuzz clean

help:
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

demo: install ## install, then run two stations, a broker and a catalogue, in a browser and here
	$(BIN)/airsift demo --web

# Most tests wait for brokers and processes, so several run at once, on one thread each.
JOBS ?= 2
# An empty PYTHONDONTWRITEBYTECODE lets pytest keep what it makes of the tests' assertions: without
# that, each worker makes it anew, which is a third of the time it needs to collect the tests.
TESTS := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses=$(JOBS) --dist=loadfile --no-loadscope-reorder

test: lint ## install, then lint, types and every test that is not marked long
	$(TESTS) -m "not long and not fuzz" $(PYTEST)

long: install ## the tests that take longer than ten seconds each
	$(TESTS) -m "long and not fuzz" $(PYTEST)

quick: install ## the tests that need no broker and no other process, and less than half a second each
	$(TESTS) --quiet --ignore=tests/integration -m "not process and not slow and not long and not fuzz" --hypothesis-profile=quick --durations=5 $(PYTEST)

kills: install ## kill writers of a catalogue two hundred times, at random moments
	KILLS=100 $(BIN)/python -m pytest tests/fingerprint/test_writer.py -k kill

install: $(STAMP) ## make .venv from the lock files

# torch is large: one command installs it with all other locked packages; the project itself is
# then installed without resolving dependencies again.
$(STAMP): requirements.lock requirements-dev.lock pyproject.toml scripts/system-packages
	$(PYTHON) scripts/check_python.py
	sh scripts/system-packages
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

# Compiled Python files of all packages would be tens of megabytes, and setuptools, which venv adds
# on some versions of Python, is used by nothing. The first file that is segmented shows that the
# environment works, and compiles what is imported.
edge: .venv-edge/.installed ## make .venv-edge without torch, for a machine without a GPU: a twentieth of the disk

.venv-edge/.installed: requirements-edge.lock pyproject.toml scripts/system-packages
	$(PYTHON) scripts/check_python.py
	sh scripts/system-packages
	test -x .venv-edge/bin/python || $(PYTHON) -m venv .venv-edge
	.venv-edge/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --requirement requirements-edge.lock
	.venv-edge/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --no-deps --no-build-isolation --editable .
	.venv-edge/bin/python -m pip uninstall --quiet --disable-pip-version-check --yes setuptools
	PYTHONDONTWRITEBYTECODE= .venv-edge/bin/airsift segment stream/demo/audio/announcer.opus > .venv-edge/first-segments.jsonl
	touch $@

kafka: .kafka/.installed ## fetch Apache Kafka for the tests on it; needs Java 17 and Maven

.kafka/.installed: scripts/apache_kafka.xml
	mvn --quiet --batch-mode --file $< org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies -DincludeScope=runtime -DoutputDirectory=$(CURDIR)/.kafka
	touch $@

registry: .registry/.installed ## fetch a schema registry for the test on it; needs Java 17 and Maven

.registry/.installed:
	mvn --quiet --batch-mode org.apache.maven.plugins:maven-dependency-plugin:3.8.1:unpack -Dartifact=io.apicurio:apicurio-registry-app:2.6.13.Final:tar.gz:all -DoutputDirectory=$(CURDIR)/.registry -DmarkersDirectory=$(CURDIR)/.registry/markers
	touch $@

page: install ## write dist/airsift.html, which runs the network in a browser; needs npm
	$(BIN)/python scripts/demo_page.py dist/airsift.html

man: install ## write a manual page for each command to dist/man
	$(BIN)/python scripts/man_pages.py dist/man

docs: install ## write build/docs, the documentation as pages for any web server
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

release-check: install ## build a release twice into dist/release, and look at its contents, licences and versions
	$(BIN)/python -m scripts.release

helm: .helm/helm ## build Helm for the tests of the chart; needs Go

.helm/helm:
	GOBIN=$(CURDIR)/.helm go install helm.sh/helm/v3/cmd/helm@v3.22.0

postgres: ## install PostgreSQL for the tests on it, without a server that runs
	sh scripts/postgres

lint: install ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: install ## measure the figures of docs/benchmarks.md
	for name in frontend classifier backends pipeline decode levels messages files imports worker_cost latency; do \
		$(BIN)/python -m bench.speed.$$name || exit 1; done
	$(BIN)/python -m bench.profile
	$(BIN)/python -m bench.figures.readme_timeline
	$(BIN)/python -m bench.figures.architecture

chaos: install ## the long form of the tests with faults, for both drivers; half an hour
	$(BIN)/python -m bench.chaos

matching: install ## measure the matcher; fetches 1.3 GB of Debian packages the first time
	$(BIN)/python -m bench.matching

fuzz: install ## decode thousands of damaged messages: no crash, no hang, no growth
	$(BIN)/python -m pytest -m fuzz -s

clean: ## remove the files of the targets above
	rm -rf $(VENV) .venv-edge .pytest_cache .mypy_cache .ruff_cache .hypothesis
