# Everything here sets itself up: a virtual environment in the checkout, versions pinned by constraints.txt.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALL := $(PIP) install --quiet --constraint constraints.txt

.PHONY: help demo test lint unit peers bench bench-gpu compression wheel model clean

help:
	@echo "make demo    simulate a scene, embed it in int8, say where to look"
	@echo "make test    lint, types and all tests"
	@echo "make peers   let geotessera's own clients read our output (installs them first)"
	@echo "make bench   measure speed and drift beside PyTorch and other runtimes"
	@echo "make compression   measure what int8, prefixes and less cost downstream (some minutes)"
	@echo "make bench-gpu   on a machine with a GPU: all that needs one, into docs/gpu.json"
	@echo "make wheel   build the wheel and try it in a clean environment"
	@echo "make model   train the demo model again (five minutes on two cores)"

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

# Other projects' clients read what we write, each from an environment of its own outside of the checkout. geotessera
# 0.11 asks for Python 3.12 and newer libraries than older Pythons get; what reads our files works with these.
PEERS ?= $(HOME)/.cache/tessera-engine-peers

peers: $(VENV)/dev
	test -d $(PEERS)/geotessera-0.7.5 || ($(PYTHON) -m venv $(PEERS)/geotessera-0.7.5 && \
	  $(PEERS)/geotessera-0.7.5/bin/pip install --quiet geotessera==0.7.5)
	test -d $(PEERS)/geotessera-0.11.0 || ($(PYTHON) -m venv $(PEERS)/geotessera-0.11.0 && \
	  $(PEERS)/geotessera-0.11.0/bin/pip install --quiet --no-deps --ignore-requires-python geotessera==0.11.0 && \
	  $(PEERS)/geotessera-0.11.0/bin/pip install --quiet aiohttp dask fsspec geodatasets geopandas icechunk matplotlib \
	  numcodecs obstore pooch pyarrow rasterio rich rioxarray scikit-image scikit-learn typer xarray zarr zarr-cm)
	TESSERA_PEERS=$(PEERS) $(BIN)/pytest -q -m peers tests/engine/formats/test_clients.py

# Beside PyTorch, ONNX Runtime and OpenVINO; leaves docs/benchmarks.json, .md and .png
bench: $(VENV)/dev
	$(INSTALL) --editable '.[openvino]'
	$(BIN)/pytest -q benchmarks --benchmark-json docs/benchmarks.json
	$(BIN)/python benchmarks/report.py docs/benchmarks.json docs

# What stored forms cost downstream, beside other features; leaves docs/compression.md and .png. The peer Presto runs as
# its authors' code does, from a clone outside of the checkout. Without a network, or the Flanders scene, they are left out.
FLANDERS ?= ../shared/data/flanders-2018
PRESTO := $(PEERS)/presto

compression: $(VENV)/dev
	-test -d $(PRESTO) || (git clone --quiet https://github.com/nasaharvest/presto $(PRESTO) && \
	  git -C $(PRESTO) checkout --quiet 13173d028f035abcbcc3b13829314323a5c15d02 && \
	  $(PIP) install --quiet --no-deps --target $(PRESTO)/needs einops==0.8.1)
	PYTHONPATH=$(PRESTO)/needs $(BIN)/python benchmarks/compression.py docs \
	  $$(test -d $(PRESTO)/needs && echo --presto $(PRESTO)) $$(test -d $(FLANDERS) && echo --flanders $(FLANDERS))

# Conformance, drift, determinism, memory, speed and energy on the GPU; skipped, saying why, where there is none. On a
# machine that has what docs/gpu.md names in an environment of its own: make bench-gpu PYTHON_GPU=path/to/python
PYTHON_GPU ?=

bench-gpu: $(if $(PYTHON_GPU),,$(VENV)/dev)
	$(or $(PYTHON_GPU),$(BIN)/python) -m pytest -rs -m gpu benchmarks/test_gpu.py

wheel: $(VENV)/base
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
	$(BIN)/python -m tessera_export.train.demo engine/tessera_engine/model/packaged --scene $(SCENES)

clean:
	rm -rf $(VENV) demo dist
