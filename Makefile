# Two commands matter: `make book` and `make test`. `make help` lists the rest.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

# Real MNIST and Fashion-MNIST, where a folder of them lies beside this one.
SHARED := $(wildcard ../shared/data)
ifneq ($(SHARED),)
export VAE_TEACH_DATA ?= $(abspath $(SHARED))
endif

.PHONY: help book test lab notebooks topic assignments bench export results lock browser clean

help:  ## this list
	@awk -F':.*## ' '/^[a-z]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile
	@echo "  with SLUG=kl     notebooks and assignments of one topic only"

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; this is %s. Try: make book PYTHON=python3.11" % sys.version.split()[0])'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing into .venv (once, a minute or two) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

book: $(READY)  ## install what is needed, build the book, say where it is
	@$(BIN)/jupyter-book build . -W -n --keep-going --quiet
	@echo "The book is ready. Open: file://$(CURDIR)/_build/html/index.html"

test: book browser  ## every check: package, laws, exercises, pages in a browser, notebooks
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadscope --durations 10
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadscope --nbval-lax --nbval-cell-timeout=120 -p no:cacheprovider notebooks exercises
	@$(BIN)/python tools/browser.py --verdict

lab: $(READY)  ## open the notebooks in JupyterLab
	$(BIN)/jupyter lab --notebook-dir=. notebooks

notebooks: $(READY)  ## run the notebooks in fresh kernels and save them normalised (SLUG=... for one topic)
	$(BIN)/python tools/notebooks.py $(SLUG)

topic: $(READY)  ## add a topic in every room: make topic SLUG=markov TITLE="Markov chains"
	$(BIN)/python tools/topic.py "$(SLUG)" "$(TITLE)"

assignments: $(READY)  ## student notebooks without solutions, into assignments/ (SLUG=... for one topic); FORCE=1 overwrites
	$(BIN)/python tools/assignments.py $(if $(FORCE),--force) $(SLUG)

bench: book browser  ## our training loop against the usual ones, in one run; and the living pages
	$(BIN)/python tools/bench.py
	$(BIN)/python tools/bench_pages.py

export: $(READY)  ## write again what the living pages need from the pocket models that come with the course
	$(BIN)/python tools/export.py

results: $(READY)  ## compute again the numbers that take minutes (chapter sampling): evidence, Fréchet distances
	OMP_NUM_THREADS=1 $(BIN)/python tools/results.py

lock: $(READY)  ## install what pyproject.toml declares and pin it in requirements.txt
	$(BIN)/python tools/lock.py

browser: $(READY)
	@$(BIN)/python tools/browser.py

clean:  ## remove what was built (not .venv)
	rm -rf _build
