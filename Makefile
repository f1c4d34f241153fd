# `make demo` shows the main job, `make test` runs every test, `make smoke` the paper's experiments
# at their smallest scale, `make docs` builds the pages and runs their examples, `make paper` draws
# docs/results/paper.html from its records. All set up .venv.
PYTHON ?= python3
BIN = .venv/bin

.PHONY: demo test smoke lint docs paper clean

demo: .venv/ready
	$(BIN)/emprior demo -o demo-output --overwrite

test: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

smoke: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest checks -q

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/sphinx-build -W --keep-going -q docs build/docs

paper: .venv/ready
	rm -rf build/paper
	mkdir -p build
	cp -r docs/results/paper build/paper
	$(BIN)/emprior report --quiet build/paper
	cp build/paper/report.html docs/results/paper.html

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv demo-output
