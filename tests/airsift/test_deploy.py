"""The dashboard and the alert rules ask for what airsift's workers really tell."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from airsift import config
from stream.audio import AudioChunk
from stream.sources.base import Batch
from stream.telemetry.collector import PIPELINE, SOURCE
from stream.telemetry.telemetry import Telemetry

ROOT = Path(__file__).parents[2]
DASHBOARD = json.loads((ROOT / "deploy/grafana/airsift.json").read_text())
RULES = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())
ALERTS = [rule for group in RULES["groups"] for rule in group["rules"]]
SCRAPE = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())

# What PromQL and Grafana have themselves.
FUNCTIONS = {
    "abs",
    "absent",
    "histogram_quantile",
    "increase",
    "label_values",
    "max",
    "rate",
    "sum",
    "topk",
}
PROMETHEUS_LABELS = {"instance", "job"}  # given to every series when it is scraped


def told() -> dict[str, set[str]]:
    """Return the names of all samples of a worker, with their labels."""
    watch = Telemetry(config.load(environ={}).config.watch.model_copy(update={"station_series": 1}))
    watch.on_batch(Batch([AudioChunk("a", 0, [], 16000)]), [])
    watch.collector._drifts = [("a", 1.0)]  # known only after 12 minutes
    watch.collector._source = SimpleNamespace(refused=Counter(a=1))
    found: dict[str, set[str]] = {"up": set()}
    for family in text_string_to_metric_families(generate_latest(watch.metrics.registry).decode()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


TOLD = told()


def asked(expression: str) -> list[tuple[str, set[str]]]:
    """Return the metrics of an expression, with the labels that it selects of each."""
    bare = re.sub(r"\[[^\]]*\]|\b(by|without) \([^)]*\)", "", expression)
    selectors = re.findall(r"([a-z_][a-z0-9_]*)(\{[^}]*\})?", re.sub(r'"[^"]*"', '""', bare))
    return [
        (name, set(re.findall(r"(\w+)=", labels)))
        for name, labels in selectors
        if name not in FUNCTIONS | PROMETHEUS_LABELS
    ]


def grouped(expression: str) -> set[str]:
    lists = re.findall(r"\bby \(([^)]*)\)", expression)
    return {label.strip() for each in lists for label in each.split(",")}


EXPRESSIONS = {
    **{f"alert {rule['alert']}": rule["expr"] for rule in ALERTS},
    **{
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in DASHBOARD["panels"]
        for target in panel["targets"]
    },
    **{v["name"]: v["definition"] for v in DASHBOARD["templating"]["list"] if "definition" in v},
}


@pytest.mark.parametrize("where", EXPRESSIONS)
def test_what_is_asked_for_is_told(where):
    metrics = asked(EXPRESSIONS[where])
    assert metrics
    labels: set[str] = set()
    for name, selected in metrics:
        assert name in TOLD, name
        assert selected <= TOLD[name] | PROMETHEUS_LABELS, name
        labels |= TOLD[name]
    assert grouped(EXPRESSIONS[where]) <= labels | PROMETHEUS_LABELS


@pytest.mark.parametrize("where", EXPRESSIONS)
def test_counters_are_asked_for_their_rate(where):
    expression = EXPRESSIONS[where]
    for name, _ in asked(expression):
        if name.endswith(("_total", "_bucket", "_sum", "_count")):
            assert re.search(rf"\b(rate|increase)\({name}\b", expression), name


def test_everything_that_is_told_is_on_the_dashboard():
    shown = {name for e in EXPRESSIONS.values() for name, _ in asked(e)}
    missing = {name for name in TOLD if name.startswith("airsift_")} - shown
    assert {re.sub(r"_(bucket|count|sum)$", "", name) for name in missing} <= {
        "airsift_info",  # for joins
        "airsift_turns_total",  # airsift_progress_age_seconds says it better
        "airsift_latency_seconds",
        "airsift_stage_seconds",
    }


def test_what_matters_raises_an_alert():
    watched = {name for rule in ALERTS for name, _ in asked(rule["expr"])}
    assert watched >= {
        "up",
        "airsift_ready",
        "airsift_progress_age_seconds",
        "airsift_stations_silent",
        "airsift_lag_messages",
        "airsift_dead_letters_total",
    }
    page = (ROOT / "docs/operating.md").read_text()
    for rule in ALERTS:
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"]
        assert f"`{rule['alert']}`" in page


def test_the_stall_that_is_alerted_is_the_one_that_is_unhealthy():
    stall_s = config.load(environ={}).config.watch.stall_s
    [stalled] = [rule["expr"] for rule in ALERTS if rule["alert"] == "AirsiftStalled"]
    assert stalled == f"airsift_progress_age_seconds > {stall_s:g}"


def test_rules_and_job_are_those_that_prometheus_loads():
    [rules] = SCRAPE["rule_files"]
    assert (ROOT / "deploy/prometheus" / rules).is_file()
    jobs = {job["job_name"] for job in SCRAPE["scrape_configs"]}
    named = re.findall(r'job="(\w+)"', json.dumps(list(EXPRESSIONS.values())).replace("\\", ""))
    assert set(named) == jobs


def test_panels_do_not_overlap():
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


@pytest.mark.parametrize(
    ("known", "files"),
    [(PIPELINE, "stream/stages/align.py"), (SOURCE, "stream/kafka/**/*.py")],
)
def test_what_the_parts_count_is_told(known, files):
    code = "".join(path.read_text() for path in ROOT.glob(files))
    keys = " ".join(re.findall(r"counts\[([^\]]*)\]", code))
    assert set(re.findall(r'"(\w+)"', keys)) == set(known)
