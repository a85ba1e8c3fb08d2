"""TensorBoard's own server, asked over HTTP, shows every run with its final metrics."""

from __future__ import annotations

import json
import time
import urllib.request
from pathlib import Path
from typing import Any

from tensorboard import program

from ml2020.core.folder import RunFolder


def ask(url: str, path: str, question: dict[str, Any] | None = None) -> Any:
    data = None if question is None else json.dumps(question).encode()
    request = urllib.request.Request(url.rstrip("/") + path, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


def test_the_server_lists_every_run_with_its_final_metrics(quick_run: RunFolder, tmp_path: Path):
    (tmp_path / "one").symlink_to(quick_run.path), (tmp_path / "two").symlink_to(quick_run.path)
    board = program.TensorBoard()
    board.configure(argv=[None, "--logdir", str(tmp_path), "--port", "0", "--reload_interval", "1"])
    url = board.launch()
    until = time.monotonic() + 60
    while len(runs := ask(url, "/data/runs")) < 2 and time.monotonic() < until:
        time.sleep(0.3)
    assert sorted(runs) == ["one", "two"]
    wanted = [{"metric": {"tag": "final/main"}}, {"hparam": "model"}]
    question = {"experimentName": "", "allowedStatuses": ["STATUS_SUCCESS", "STATUS_UNKNOWN", "STATUS_RUNNING", "STATUS_FAILURE"]}
    groups: list[dict] = []
    while time.monotonic() < until:
        groups = ask(url, "/data/plugin/hparams/session_groups", question | {"colParams": wanted, "startIndex": 0, "sliceSize": 10})[
            "sessionGroups"
        ]
        if len(groups) == 2 and all(group.get("metricValues") for group in groups):
            break
        time.sleep(0.3)
    main = quick_run.metrics()["main"]["value"]
    assert len(groups) == 2
    for group in groups:
        values = {entry["name"]["tag"]: entry["value"] for entry in group["metricValues"]}
        assert abs(values["final/main"] - main) < 1e-5 and "hp_metric" not in values
        assert group["hparams"]["model"] == quick_run.facts["model"]
        assert None not in group["hparams"].values()
