"""Test or use a finished run: python eval.py run=FOLDER do=test. See python eval.py --help."""

import sys

if not (3, 11) <= sys.version_info[:2] <= (3, 13):
    sys.exit(f"ml2020 needs Python 3.11 to 3.13, this is {sys.version.split()[0]}; run: make setup, then source .venv/bin/activate")
try:
    from ml2020.commands.evaluate import evaluate
except ImportError as error:
    if (error.name or "").partition(".")[0] not in ("ml2020", "hydra", "omegaconf", "yaml"):
        raise
    sys.exit("the environment is not there; run: make setup, then source .venv/bin/activate")

if __name__ == "__main__":
    sys.exit(evaluate())
