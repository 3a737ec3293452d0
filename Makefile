# Two commands: `make book` builds and checks the book, `make test` runs every test.
PYTHON ?= python3
RUN = .venv/bin/python -m

.PHONY: help book test bench lab labs setup setup-tests format clean
.DELETE_ON_ERROR:

help:
	@echo "make book    build the book from text on this machine and say where to open it"
	@echo "make lab     open the labs in JupyterLab"
	@echo "make test    run all tests (what continuous integration runs)"
	@echo "make bench   time our modules beside the implementations they are checked against"
	@echo "make labs    run every lab again and write its outputs"
	@echo "make format  format the code"
	@echo "make clean   remove what was built (the environment and the corpora stay)"

setup:
	@$(PYTHON) tools/setup.py

setup-tests:
	@$(PYTHON) tools/setup.py --tests

book: setup
	@$(RUN) tools.build

lab: setup
	@$(RUN) jupyterlab notebooks

labs: setup
	@$(RUN) tools.labs

test: setup setup-tests
	@$(RUN) tools.test

bench: setup setup-tests
	@$(RUN) tools.bench

format: setup-tests
	@$(RUN) ruff format .
	@$(RUN) ruff check --fix .

clean:
	@rm -rf _build _extra _figures build dist
