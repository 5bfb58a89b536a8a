# Every target calls the `understudy` command line, the tests or the checkers.
# TASK, DATA and the like reach it through the environment, so that spaces and quotes survive.

VARIABLES = TASK DATA STORE TEACHER BASE_URL SPLIT_COLUMN STRATEGY SHOTS PLAN SMOKE MAX_USD \
	MAX_OUTPUT_TOKENS STUDENT TARGET RECIPE RUN SEED PORT PYTHON UV
export $(VARIABLES)

# A misspelt one is refused. What a make above this one passes on is its own affair.
ifeq ($(MAKELEVEL),0)
GIVEN := $(foreach name,$(.VARIABLES),$(if $(filter command,$(firstword $(origin $(name)))),$(name)))
UNKNOWN := $(strip $(sort $(filter-out $(VARIABLES) PYTEST_ARGS,$(GIVEN))))
ifneq ($(UNKNOWN),)
$(error not known here: $(UNKNOWN); the variables are $(strip $(VARIABLES)) PYTEST_ARGS)
endif
endif

READY = .venv/ready
UNDERSTUDY = .venv/bin/understudy
PYTEST = HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 .venv/bin/python -m pytest -q -n 2 --dist loadfile
PYTEST_ARGS ?=

.PHONY: help setup demo distill train evaluate report serve test test-lowest docs types check base clean

help:  ## this list
	@echo 'make TARGET [TASK=path/to/task.py:task] [STORE=app.db] ...'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' Makefile

setup: $(READY)  ## make .venv with the pinned packages; nothing to do the second time

$(READY): pyproject.toml constraints.txt scripts/setup.sh
	@sh scripts/setup.sh
	@touch $(READY)

demo: $(READY)  ## the whole loop on the embedded default, into demo/ (SEED=)
	@$(UNDERSTUDY) demo --folder demo $${SEED:+--seed "$$SEED"}

# BASE_URL is where an OpenAI-compatible teacher answers; SPLIT_COLUMN is a column of DATA. PLAN=1
# says what it would cost, SMOKE=16 labels 16 rows; MAX_USD needs MAX_OUTPUT_TOKENS, a call's cap.
distill: $(READY)  ## a teacher labels rows (TASK= DATA= STORE= TEACHER= STRATEGY= PLAN=1 MAX_USD= ...)
	@$(UNDERSTUDY) distill $${TASK:+--task "$$TASK"} $${DATA:+--data "$$DATA"} \
		$${SPLIT_COLUMN:+--split-column "$$SPLIT_COLUMN"} $${STORE:+--store "$$STORE"} \
		$${TEACHER:+--teacher "$$TEACHER"} $${BASE_URL:+--base-url "$$BASE_URL"} \
		$${STRATEGY:+--strategy "$$STRATEGY"} $${SHOTS:+--shots "$$SHOTS"} \
		$${PLAN:+--plan} $${SMOKE:+--smoke "$$SMOKE"} $${MAX_USD:+--max-usd "$$MAX_USD"} \
		$${MAX_OUTPUT_TOKENS:+--max-output-tokens "$$MAX_OUTPUT_TOKENS"}

train: $(READY)  ## QLoRA on what the store holds (TASK= STORE= STUDENT= TARGET= RECIPE= RUN= SEED=)
	@$(UNDERSTUDY) train $${TASK:+--task "$$TASK"} $${STORE:+--store "$$STORE"} \
		$${STUDENT:+--student "$$STUDENT"} $${TARGET:+--target "$$TARGET"} \
		$${RECIPE:+--recipe "$$RECIPE"} $${RUN:+--out "$$RUN"} $${SEED:+--seed "$$SEED"}

# RUN is one folder, or several with spaces between them.
evaluate: $(READY)  ## everybody answers the held-out rows (TASK= STORE= RUN="runs/a runs/b" STUDENT=)
	@set --; \
	if [ -d "$$RUN" ]; then set -- --run "$$RUN"; \
	else for folder in $$RUN; do set -- "$$@" --run "$$folder"; done; fi; \
	$(UNDERSTUDY) evaluate $${TASK:+--task "$$TASK"} $${STORE:+--store "$$STORE"} \
		$${STUDENT:+--student "$$STUDENT"} "$$@"

report: $(READY)  ## report/report.html from the store (TASK= STORE=)
	@$(UNDERSTUDY) report $${TASK:+--task "$$TASK"} $${STORE:+--store "$$STORE"}

serve: $(READY)  ## students behind an OpenAI-compatible address (RUN="runs/a runs/b" PORT=)
	@set --; \
	if [ -d "$$RUN" ]; then set -- "$$RUN"; else for folder in $$RUN; do set -- "$$@" "$$folder"; done; fi; \
	$(UNDERSTUDY) serve "$$@" $${PORT:+--port "$$PORT"}

test: $(READY)  ## the whole suite, offline (PYTEST_ARGS="-k store")
	@$(PYTEST) $(PYTEST_ARGS)

# The lower ends of the ranges in pyproject.toml, without torch: what needs it is skipped.
test-lowest:  ## the suite on the oldest libraries that the core and the teachers allow
	@sh scripts/test_lowest.sh $(PYTEST_ARGS)

docs: $(READY)  ## the site, into build/site
	@.venv/bin/zensical build --strict -f mkdocs.yml

types: $(READY)  ## mypy alone
	.venv/bin/python -m mypy

check: $(READY)  ## the one gate: format, ruff, mypy, tests
	.venv/bin/python -m ruff format --check .
	.venv/bin/python -m ruff check .
	@$(MAKE) types
	@$(MAKE) test

base: $(READY)  ## pretrain the embedded base again, into RUN (default runs/base) (SEED=)
	@.venv/bin/python -m understudy.examples.base.pretrain --out "$${RUN:-runs/base}" \
		$${SEED:+--seed "$$SEED"}

clean:  ## remove what make made: .venv, demo/, caches; runs/, stores and reports stay
	rm -rf .venv .venv-lowest demo build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
