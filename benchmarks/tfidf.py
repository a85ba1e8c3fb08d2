"""What homework 4's networks are held against: TF-IDF of words and pairs of words with logistic regression, on the same texts.

    python benchmarks/tfidf.py --data_dir PATH

Tweets in PATH/hw04, the same validation texts and the same draws of labels as `experiment=hw04_tweets`; punctuation counts as words.
"""

from __future__ import annotations

import argparse
import statistics

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from ml2020.core.build import build
from ml2020.core.config import load, plain


def accuracy(seed: int, labels: str, data_dir: str) -> float:
    """On the validation texts, after learning from the labels that a run of this seed draws."""
    cfg, _ = load("train", ["task=hw04_rnn", "data=hw04_tweets", f"data_dir={data_dir}", f"data.labels={labels}"])
    data = build(plain(cfg)["data"])
    data.run_seed = seed
    data.prepare()
    words = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"\S+")
    x = words.fit_transform(data.texts["train"])
    model = LogisticRegression(C=3, max_iter=300).fit(x, data.splits["train"][1].numpy())
    return float(model.score(words.transform(data.texts["val"]), data.splits["val"][1].numpy()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", required=True)
    options = parser.parse_args()
    for labels, seeds in (("500", (0, 1, 2)), ("null", (0,))):  # all labels are the same ones for every seed
        found = [100 * accuracy(seed, labels, options.data_dir) for seed in seeds]
        spread = f" ± {statistics.stdev(found):.2f}" if len(found) > 1 else ""
        print(f"data.labels={labels}: validation accuracy {statistics.mean(found):.2f}{spread} % (seeds {list(seeds)})")


if __name__ == "__main__":
    main()
