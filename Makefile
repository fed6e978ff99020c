# Two commands do all the set-up: `make demo` shows callgate at work, `make test` passes its tests.
# Both need Python 3.11 or newer, git and make, and install the rest into .venv.

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test test-full test-matrix bench soak faults bench-config bench-rating bench-ledger bench-webhooks bench-page bench-scrape bench-replay schema dashboards coverage check docs lab setup image-check deb mail-picture page-pictures lock clean

BIN := .venv/bin
# Words for the command itself: make demo ARGS="--for 30", make test ARGS="-k hook"
ARGS ?=
# auto: the lab's tests run where the lab can be built; required: else they fail; off: they are skipped
CALLGATE_LAB ?= auto
export CALLGATE_LAB
ifdef PYTHON
export PYTHON
endif
# The seed fixes hypothesis' choice of examples: the short sample is the same every time.
PYTEST := $(BIN)/pytest --hypothesis-seed=0

help:
	@echo 'make demo         a simulated switch, a dozen tenants, calls and money, in this terminal (ARGS="--for 30")'
	@echo 'make test         linters, types, and the tests in their short form (CALLGATE_LAB=auto|required|off)'
	@echo 'make test-full    the same with every long test'
	@echo 'make test-matrix  the tests on other versions of Asterisk, Redis and Python, as a table (ARGS="asterisk-16"; root, apt)'
	@echo 'make bench        speed and scale, each figure beside its limit, and the budget (ARGS="asterisk fleet --quick")'
	@echo 'make soak         half an hour at half the load: what is left of it in memory, files and keys'
	@echo 'make faults       each fault against six calls in six phases, and the table of it (ARGS="--write callgate-killed")'
	@echo 'make bench-rating a deck of 40,000 prefixes: load, memory, look-up, quote'
	@echo 'make bench-ledger steps a second, what waits for the disk, a long history, many lots, memory of a call, the audit'
	@echo 'make bench-config a thousand tenants: the check, and the longest pause of a reload'
	@echo 'make bench-webhooks a thousand events at once, to a receiver that answers in 50 ms, beside one that hangs'
	@echo 'make docs         the documentation site, into build/site'
	@echo 'make schema       writes config/schema anew from the models'
	@echo 'make dashboards   writes config/grafana/dashboards anew from tests/noc/dashboards'
	@echo 'make coverage     the tests of rating/: all lines and branches of it are run'
	@echo 'make image-check  builds and runs the container image without a Docker engine (root, apt)'
	@echo 'make deb          builds a Debian package for the Debian or Ubuntu of this machine, into dist/'
	@echo 'make mail-picture draws the picture of config/mail/README.md anew, by headless Chromium (root, apt)'
	@echo 'make page-pictures draws the pictures of the live page anew, likewise'
	@echo 'make bench-page   5,000 live calls: what one who looks on costs a verdict, and what a frame of the page takes'
	@echo 'make bench-scrape 2,000 tenants and 20,000 live calls: what a scrape of the metrics takes, and costs a verdict'
	@echo 'make bench-replay 100,000 call records against a new tariff, new limits, a balance: time, memory, the sum of quotes'
	@echo 'make lock         pins the requirements anew (ARGS="--upgrade" takes the newest)'

demo:
	@requirements/install runtime
	@$(BIN)/callgate demo $(ARGS)

setup:
	@requirements/install dev

# Cheap checks fail first.
check: setup
	$(BIN)/ruff check gateway rating tests hatch_build.py
	$(BIN)/ruff format --check gateway rating tests hatch_build.py
	$(BIN)/lint-imports
	$(BIN)/mypy
	@$(MAKE) --no-print-directory docs

# Broken links and anchors are errors. The variable silences an advertisement.
docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict --config-file gateway/docs/mkdocs.yml

# The lab is a real Asterisk and SIPp in a folder of the checkout; building it needs root and apt.
lab: setup
	@requirements/lab

# These share the cores, and so do the scenes of the lab, which wait more than they work. What loads a real PBX has it for
# itself. With ARGS, one run of what these choose.
QUICK := tests/unit tests/replay tests/simulation tests/ledger tests/noc tests/guard
LOADED := tests/lab/faults tests/lab/test_reload.py tests/lab/test_two_gateways.py
SHORT := $(PYTEST) -m 'not full and not load'
test: check lab
ifeq ($(strip $(ARGS)),)
	$(SHORT) -n auto --maxprocesses 4 --dist loadfile $(QUICK)
	$(SHORT) -n 2 --dist loadfile $(foreach each,$(QUICK) $(LOADED),--ignore=$(each))
	$(SHORT) $(LOADED)
else
	$(SHORT) $(ARGS)
endif

test-full: check lab
	$(PYTEST) -m 'not load' $(ARGS)

# A table of what passed on which versions; ARGS names rows. tests/MATRIX.md has the last.
test-matrix: lab
	$(BIN)/python -m tests.matrix $(ARGS)

# rating/ is small and pure: each line and each branch of it is run.
coverage: setup
	$(PYTEST) tests/unit/rating --cov=rating --cov-branch --cov-report=term-missing:skip-covered --cov-fail-under=100

bench: lab
	$(BIN)/python -m tests.load.suite $(ARGS)

soak: lab
	$(BIN)/python -m tests.load.soak $(ARGS)

faults: lab
	$(BIN)/python -m tests.lab.faults $(ARGS)

bench-rating: setup
	$(BIN)/python -m tests.load.bench_rating
	$(BIN)/python -m tests.load.bench_numbers

# Short forms; each of them says in its docstring what its long form is.
bench-ledger: setup
	$(BIN)/python -m tests.load.suite ledger
	$(BIN)/python -m tests.ledger.bench_durable 2
	$(BIN)/python -m tests.ledger.bench_history 100000
	$(BIN)/python -m tests.ledger.bench_limits
	$(BIN)/python -m tests.load.bench_audit 200000

bench-config: setup
	$(BIN)/python -m tests.load.bench_config

bench-webhooks: setup
	$(BIN)/python -m tests.load.bench_webhooks $(ARGS)

schema: setup
	for kind in gateway tenant plan tariff; do $(BIN)/callgate schema $$kind > config/schema/$$kind.json || exit 1; done

dashboards: setup
	$(BIN)/python -m tests.noc.dashboards

image-check: setup
	$(BIN)/python -m tests.image.check $(ARGS)

deb:
	@requirements/install runtime
	@requirements/deb

mail-picture: setup
	$(BIN)/python -m tests.unit.mail.picture

page-pictures: setup
	$(BIN)/python -m tests.page.pictures

bench-page: setup
	$(BIN)/python -m tests.load.bench_page $(ARGS)

bench-scrape: setup
	$(BIN)/python -m tests.load.bench_scrape $(ARGS)

bench-replay: setup
	$(BIN)/python -m tests.load.bench_replay $(ARGS)

lock:
	@requirements/install runtime || true  # pins that do not fit are what this mends
	requirements/lock $(ARGS)
	@requirements/install dev

clean:
	rm -rf --one-file-system .venv .lab build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
