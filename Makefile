# make demo: from a clone to a trained network. make test: the tests. `make` alone lists what there is.
VENV := .venv
BIN := $(VENV)/bin
# The first Python that fits: 3.11 to 3.13 (hydra-core 1.3.8 and Box2D do not run on 3.14; torch 2.15 does not on 3.10).
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && { echo $$p; break; }; done)
USER_EXTRAS := samples,rl,search,launchers
TEST_EXTRAS := samples,rl,search,launchers,export,text,dev,oracle
RECIPE := pyproject.toml constraints.txt

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-full board bench lint shape

help: ## list these commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | while IFS="$$(printf '\t')" read -r name text; do \
		printf '  make %-10s %s\n' "$$name" "$$text"; done

setup: $(BIN)/.user ## make .venv with everything a user needs

demo: setup ## set-up, then homework 3 on its embedded data
	@$(BIN)/python train.py task=hw03_cnn
	@echo
	@echo "Look at the pictures in the folder named above, then:"
	@echo "  make board                        curves and pictures in TensorBoard"
	@echo "  source $(BIN)/activate            so that python finds the project"
	@echo "  python train.py --help            the homeworks and what can be chosen"
	@echo "  python train.py task=hw03_cnn model=hw03_original      the student's original, which learns by heart"

test: $(BIN)/.test ## the tests, under 10 minutes on 2 cores
	@$(BIN)/python -m pytest -n 2 -m 'not full'

test-full: $(BIN)/.test ## the long tests too
	@$(BIN)/python -m pytest -n 2

board: setup ## TensorBoard over outputs/
	@$(BIN)/tensorboard --logdir outputs

bench: $(BIN)/.test ## speed, as ratios against what runs beside it
	@for file in benchmarks/loop.py benchmarks/pictures.py benchmarks/closed_forms.py benchmarks/tokens.py benchmarks/sweeps.py benchmarks/fisher.py benchmarks/lifelong.py benchmarks/gan.py benchmarks/rl.py benchmarks/episodes.py benchmarks/meta.py benchmarks/startup.py; do echo "== $$file"; $(BIN)/python $$file --record docs/performance.md || exit 1; done

lint: $(BIN)/.test ## ruff
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --diff . | head -50

shape: ## how large the rooms of the house are, and who imports whom
	@$(PYTHON) benchmarks/shape.py

$(BIN)/.user: $(RECIPE)
	@$(MAKE) --no-print-directory install EXTRAS=$(USER_EXTRAS) MARK=$@

$(BIN)/.test: $(RECIPE)
	@$(MAKE) --no-print-directory install EXTRAS=$(TEST_EXTRAS) MARK=$@
	@touch $(BIN)/.user

# Tested versions come from constraints.txt; a torch that is already in .venv is kept, so its lines are left out then.
.PHONY: install
install:
	@test -n "$(PYTHON)" || { echo "ml2020 needs Python 3.11, 3.12 or 3.13, and none is on the PATH (3.14 does not run hydra-core yet); install one, or type make setup PYTHON=/path/to/python3.13"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null || { echo "$(PYTHON) is not Python 3.11, 3.12 or 3.13; ml2020 does not run on others"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "Python's venv module is missing; on Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@if $(BIN)/python -c 'import importlib.metadata as m; m.version("torch"), m.version("torchvision")' 2>/dev/null; then \
		echo "Keeping the torch that is in $(VENV); installing the rest."; \
		grep -vE '^(torch|torchvision|triton|nvidia-.*|cuda-.*)==' constraints.txt > $(VENV)/constraints.txt; \
	else \
		echo "Installing into $(VENV): about 2.8 GB to download on Linux (torch with its CUDA libraries is most of it), 6.5 GB on disk; 2 to 10 minutes, quietly."; \
		echo "Without a GPU much less will do: see \"A smaller torch\" in README.md (Ctrl-C now, nothing is lost)."; \
		cp constraints.txt $(VENV)/constraints.txt; \
	fi
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip -q
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c $(VENV)/constraints.txt -e '.[$(EXTRAS)]'
	@touch $(MARK)
