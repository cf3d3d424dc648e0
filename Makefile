# Everything here sets itself up: a virtual environment in the checkout, versions pinned by constraints.txt.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALL := $(PIP) install --quiet --constraint constraints.txt

.PHONY: help demo test lint unit bench wheel model clean

help:
	@echo "make demo    simulate a scene, embed it in int8, say where to look"
	@echo "make test    lint, types and all tests"
	@echo "make bench   measure speed and drift beside PyTorch and other runtimes"
	@echo "make wheel   build the wheel and try it in a clean environment"
	@echo "make model   train the demo model again (about ten minutes)"

$(VENV)/base: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --editable .
	@touch $@

$(VENV)/dev: $(VENV)/base
	$(INSTALL) --editable '.[dev]'
	@touch $@

demo/scene: | $(VENV)/base
	$(BIN)/tessera-engine simulate demo/scene --size 256

demo: $(VENV)/base demo/scene
	$(BIN)/tessera-engine embed demo/scene --int8 --out demo/embeddings --overwrite
	@echo
	@echo "The scene:           demo/scene (cover.tif is its true land cover)"
	@echo "The embeddings:      demo/embeddings/embeddings.tif, scales.tif (open them in QGIS)"
	@echo "A picture of them:   demo/embeddings/quicklook.png"
	@echo "Where they are from: demo/embeddings/item.json"

test: lint unit

lint: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The kernels' tests run a second time as plain Python: what numba compiled must be what was written.
unit: $(VENV)/dev
	NUMBA_DISABLE_JIT=1 $(BIN)/pytest -q tests/kernels
	$(BIN)/pytest -q

# Beside PyTorch, ONNX Runtime and OpenVINO; leaves docs/benchmarks.json, .md and .png
bench: $(VENV)/dev
	$(INSTALL) --editable '.[openvino]'
	$(BIN)/pytest -q benchmarks --benchmark-json docs/benchmarks.json
	$(BIN)/python benchmarks/report.py docs/benchmarks.json docs

wheel: $(VENV)/dev
	rm -rf dist
	$(PIP) wheel --quiet --no-deps --wheel-dir dist .
	rm -rf dist/clean && $(PYTHON) -m venv dist/clean
	dist/clean/bin/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt dist/*.whl
	cd dist && clean/bin/tessera-engine --version && clean/bin/tessera-engine --help
	cd dist && clean/bin/tessera-engine simulate scene --size 32 --quiet
	cd dist && clean/bin/tessera-engine embed scene --int8 --quiet

# The packaged files also saw one real scene: make model SCENES=path/to/scene
SCENES ?=
model: $(VENV)/dev
	$(BIN)/python -m tessera_export.train.demo engine/tessera_engine/models --scene $(SCENES)

clean:
	rm -rf $(VENV) demo dist
