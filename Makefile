# Every target makes its own virtual environment in the checkout, with the versions of constraints.txt.
PYTHON ?= python3
# Where PyTorch's CPU builds are. PyPI's build for Linux brings gigabytes of CUDA libraries. An index that does not
# answer is skipped; `make test TORCH_INDEX=` does not ask it.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALL := $(PIP) install --quiet --constraint constraints.txt

.PHONY: help demo test lint unit web soak peers speed bench gpu-kit bench-gpu compression pictures wheel sdist docs qgis notebooks kit release model clean

help:
	@echo "make demo         simulate a scene, embed it in int8, print where the files are"
	@echo "make test         run lint, types and all tests"
	@echo "make lint         run lint and types only"
	@echo "make web          build the page of view again (needs node)"
	@echo "make soak         kill commands, let the disk fail, damage inputs, for an hour (MINUTES=)"
	@echo "make peers        read our output with geotessera's own clients (installs them first)"
	@echo "make speed        measure speed and drift beside PyTorch and other runtimes, in 12 minutes (SPEED_MINUTES=)"
	@echo "make bench        the same, and reading, packing and whole runs"
	@echo "make gpu-kit      bring the wheels that a machine with a GPU lacks, into dist/gpu-kit (36 MB)"
	@echo "make bench-gpu    measure everything that needs a GPU, into docs/gpu.json (8 minutes)"
	@echo "make compression  measure what int8, short prefixes and vq cost your maps (20 minutes)"
	@echo "make pictures     make the pictures of the README again"
	@echo "make wheel        build the wheel and try it in a clean environment, in dist/wheel"
	@echo "make sdist        build the source archive"
	@echo "make docs         build the documentation as pages to read offline, dist/site"
	@echo "make notebooks    run the notebooks of docs/notebooks, and keep what they show in them"
	@echo "make qgis         build the plugin for QGIS as a zip to install, in dist"
	@echo "make kit          make a folder that installs without a network, dist/kit (PLATFORMS=, PYTHONS=, MODELS=)"
	@echo "make release      build both into dist/release, check them, and list what the wheel installs (SBOM)"
	@echo "make model        train the demo model again (five minutes on two cores)"
	@echo "make clean        remove the environment and everything that make wrote"

$(VENV)/base: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --editable .
	@touch $@

# Only torch is asked of PyTorch's index, so that an index that does not answer costs a second and not one a package.
$(VENV)/dev: $(VENV)/base
	$(if $(TORCH_INDEX),$(INSTALL) --no-deps --retries 1 --extra-index-url $(TORCH_INDEX) torch)
	$(INSTALL) --editable '.[dev]'
	@touch $@

demo_scene: | $(VENV)/base
	$(BIN)/tessera-engine simulate demo_scene --size 256

demo: $(VENV)/base demo_scene
	$(BIN)/tessera-engine embed demo_scene --int8 --overwrite
	@echo
	@echo "The scene:            demo_scene (cover.tif is its true land cover)"
	@echo "The embeddings:       demo_scene.embeddings/embeddings.tif, scales.tif (open them in QGIS)"
	@echo "A picture of them:    demo_scene.embeddings/quicklook.png"
	@echo "How they were made:   demo_scene.embeddings/item.json"

test: lint unit

lint: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The page of view: the bundle lies in the package, so that users need no node.
NODE_MODULES := web/node_modules/.package-lock.json

$(NODE_MODULES): web/package.json web/package-lock.json
	cd web && npm ci
	@touch $@

web: $(NODE_MODULES)
	cd web && npm run --silent check && npm run --silent build

# Tests run at the same time in so many processes, each of which takes a core and about 1 GB
WORKERS ?= 2
TESTED := not slow and not peers
PARALLEL := --numprocesses $(WORKERS) --dist worksteal

# The kernels' tests run a second time as plain Python: the compiled code must do what the source says. What measures time
# runs at the end, alone. Where npm can get packages, a test builds the page again and compares it.
unit: $(VENV)/dev
	@if command -v npm > /dev/null; then $(MAKE) --no-print-directory $(NODE_MODULES) || true; fi
	NUMBA_DISABLE_JIT=1 $(BIN)/pytest -q $(PARALLEL) tests/kernels
	$(BIN)/pytest -q $(PARALLEL) --durations 15 -m "$(TESTED) and not alone"
	$(BIN)/pytest -q -m "$(TESTED) and alone"

# Needs Linux and a C compiler
MINUTES ?= 60

soak: $(VENV)/dev
	$(BIN)/python -W ignore tests/soak/run.py --minutes $(MINUTES)

# Other projects' clients read our output, each from its own environment outside the checkout. geotessera 0.11 asks for
# Python 3.12 and for newer libraries than older Pythons have; the parts that read our files work with these versions.
PEERS ?= $(HOME)/.cache/tessera-engine-peers

peers: $(VENV)/dev
	test -d $(PEERS)/geotessera-0.7.5 || ($(PYTHON) -m venv $(PEERS)/geotessera-0.7.5 && \
	  $(PEERS)/geotessera-0.7.5/bin/pip install --quiet geotessera==0.7.5)
	test -d $(PEERS)/geotessera-0.11.0 || ($(PYTHON) -m venv $(PEERS)/geotessera-0.11.0 && \
	  $(PEERS)/geotessera-0.11.0/bin/pip install --quiet --no-deps --ignore-requires-python geotessera==0.11.0 && \
	  $(PEERS)/geotessera-0.11.0/bin/pip install --quiet aiohttp dask fsspec geodatasets geopandas icechunk matplotlib \
	  numcodecs obstore pooch pyarrow rasterio rich rioxarray scikit-image scikit-learn typer xarray zarr zarr-cm)
	test -d $(PEERS)/TEE || (git clone --quiet https://github.com/ucam-eo/TEE $(PEERS)/TEE && \
	  git -C $(PEERS)/TEE checkout --quiet b33b080515e3cae2ddc99cbf04d4abb2b990de59)
	TESSERA_PEERS=$(PEERS) $(BIN)/pytest -q -m peers tests/engine/formats/test_clients.py

# The tables of README.md and docs/speed.md, beside PyTorch, ONNX Runtime and OpenVINO: dist/speed/speed.md and .json
SPEED_MINUTES ?= 12

speed: $(VENV)/dev
	$(INSTALL) --editable '.[openvino]'
	$(BIN)/python benchmarks/speed.py dist/speed --minutes $(SPEED_MINUTES)

# And of the other benchmarks; writes docs/benchmarks.json, .md and .png
bench: speed
	mkdir -p docs && cp dist/speed/speed.json docs/speed.json
	$(BIN)/pytest -q benchmarks --benchmark-json docs/benchmarks.json
	$(BIN)/python benchmarks/report.py docs/benchmarks.json docs

# What each stored form costs a map, beside other features; writes docs/compression.md and .png. Presto runs by its
# authors' code, from a clone outside the checkout. Without network access Presto is left out, and without the scene of
# Flanders (a folder with labels_lc.tif and labels_lu.tif) that scene.
FLANDERS ?= ../shared/data/flanders-2018
PRESTO := $(PEERS)/presto

compression: $(VENV)/dev
	-test -d $(PRESTO) || (git clone --quiet https://github.com/nasaharvest/presto $(PRESTO) && \
	  git -C $(PRESTO) checkout --quiet 13173d028f035abcbcc3b13829314323a5c15d02 && \
	  $(PIP) install --quiet --no-deps --target $(PRESTO)/needs einops==0.8.1)
	PYTHONPATH=$(PRESTO)/needs $(BIN)/python benchmarks/compression.py docs \
	  $$(test -d $(PRESTO)/needs && echo --presto $(PRESTO)) $$(test -d $(FLANDERS) && echo --flanders $(FLANDERS))

# Wheels that a machine with a GPU but without network lacks, in dist/gpu-kit. HAS: a file with what it has. MOST: MB
HAS ?= benchmarks/gpu_machine.txt
MOST ?= 40

gpu-kit: $(VENV)/dev
	rm -rf dist/gpu-kit
	$(BIN)/python benchmarks/gpu_kit.py dist/gpu-kit --has $(HAS) --most $(MOST)

# Conformance, drift, same bits, speed, whole runs, energy and memory on the GPU, into docs/gpu.json, in 8 minutes at most.
# On a machine with Python 3.12, PyTorch and dist/gpu-kit: make bench-gpu PYTHON_GPU=python3
PYTHON_GPU ?=

bench-gpu: $(if $(PYTHON_GPU),,$(VENV)/dev)
	$(if $(PYTHON_GPU),test ! -d dist/gpu-kit || $(PYTHON_GPU) -m pip install --quiet --no-index --no-deps --no-compile \
	  --upgrade --target dist/gpu-site dist/gpu-kit/*.whl)
	PYTHONPATH=$(if $(PYTHON_GPU),$(CURDIR)/dist/gpu-site:$(CURDIR)/dist/gpu-kit) $(or $(PYTHON_GPU),$(BIN)/python) benchmarks/gpu.py docs/gpu.json

# docs/quicklook.png and docs/map.png, by the commands of the README and of docs/maps.md
SCENE := dist/pictures/scene_dir

pictures: $(VENV)/dev
	rm -rf dist/pictures && mkdir -p dist/pictures
	$(BIN)/tessera-engine simulate $(SCENE) --size 128 --quiet
	$(BIN)/tessera-engine embed $(SCENE) --int8 --quiet --out $(SCENE).embeddings
	$(BIN)/python benchmarks/draw_points.py $(SCENE)/cover.tif dist/pictures/points.geojson --each 10 --largest 8 --seed 0
	$(BIN)/tessera-engine map $(SCENE).embeddings --labels dist/pictures/points.geojson --field class --out $(SCENE).map
	$(BIN)/python benchmarks/draw_points.py $(SCENE)/cover.tif --map $(SCENE).map
	cp $(SCENE).embeddings/quicklook.png docs/quicklook.png
	cp $(SCENE).map/map.png docs/map.png

# In a folder of its own: pages, kits and releases beside it stay
wheel: $(VENV)/base
	rm -rf dist/wheel
	$(PIP) wheel --quiet --no-deps --wheel-dir dist/wheel .
	$(PYTHON) -m venv dist/wheel/clean
	dist/wheel/clean/bin/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt dist/wheel/*.whl
	cd dist/wheel && clean/bin/tessera-engine --version && clean/bin/tessera-engine --help
	cd dist/wheel && clean/bin/tessera-engine simulate scene --size 32 --quiet
	cd dist/wheel && clean/bin/tessera-engine embed scene --int8 --quiet

sdist: $(VENV)/dev
	$(BIN)/python -m hatchling build -t sdist -d dist

# The pages of docs/, README and its like, one page a command and the Python reference: dist/site, to read offline
docs: $(VENV)/dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "open dist/site/index.html"

# What the notebooks show is kept in them
notebooks: $(VENV)/dev
	$(BIN)/python docs/run_notebooks.py

# The plugin for QGIS: dist/tessera-engine-qgis-VERSION.zip. Needs Python alone
qgis:
	$(PYTHON) qgis/build.py dist

# A folder to carry: wheels, models, pages, the plugin and an example. Lists with commas: make kit PLATFORMS=windows,linux-x86_64 PYTHONS=3.11
KIT ?= dist/kit
PLATFORMS ?= linux-x86_64
PYTHONS ?=
MODELS ?= demo

kit: docs qgis
	$(BIN)/tessera-engine kit $(KIT) --platform $(PLATFORMS) --models $(MODELS) $(if $(PYTHONS),--python $(PYTHONS))

# What is published: dist/release; the wheel has the pages. Its SBOM (CycloneDX) lists every package that the wheel installs.
release: docs
	$(INSTALL) --editable '.[release]'
	rm -rf dist/release dist/clean
	$(BIN)/python -m hatchling build -t wheel -t sdist -d dist/release
	$(BIN)/twine check --strict dist/release/*
	$(BIN)/check-wheel-contents dist/release/*.whl
	$(PYTHON) -m venv dist/clean
	dist/clean/bin/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt dist/release/*.whl
	$(BIN)/cyclonedx-py environment --output-reproducible --output-file dist/release/sbom.cdx.json dist/clean
	cd dist/release && sha256sum * > ../SHA256SUMS && mv ../SHA256SUMS .

# The packaged model files also saw one real scene: make model SCENES=path/to/scene
SCENES ?=
model: $(VENV)/dev
	$(BIN)/python -m tessera_export.train.demo engine/tessera_engine/model/packaged --scene $(SCENES)

clean:
	rm -rf $(VENV) demo_scene demo_scene.embeddings demo_scene.embeddings.partial dist web/node_modules
