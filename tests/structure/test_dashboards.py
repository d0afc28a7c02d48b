"""The dashboard and the alert rules ask only for what a running platform tells, by the labels it tells it with."""

from __future__ import annotations

import asyncio
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from shared.events.topics import topics_of
from shared.runtime.settings import Settings
from shared.web.issuer import Issuer
from tests.structure.promql import Asked, asked
from tests.support.messaging import until
from tributary.platform import Platform, running_platform
from tributary.services import SERVICES

_ROOT = Path(__file__).resolve().parents[2]
_DASHBOARD = _ROOT / "deploy" / "grafana" / "tributary.json"
_ALERTS = _ROOT / "deploy" / "prometheus" / "alerts.yaml"
# What Prometheus itself adds to every series of a target.
_BY_THE_SCRAPE = {"instance", "job"}
_NAME = re.compile(
    r"tributary_[a-z_]+(_(seconds|records|events|commands|keys|shards)(_bucket|_sum|_count)?"
    r"|_total|_info|_down|_restarting)"
)
_VARIABLES = {"$__rate_interval": "5m", "$service": "credit"}


@dataclass(frozen=True)
class Query:
    """A query, where it stands, and the labels that its text shows."""

    where: str
    expression: str
    shown: frozenset[str]


def _panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(_DASHBOARD.read_text(encoding="utf-8"))["panels"]
    return found


def _rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(_ALERTS.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]]


def _queries() -> Iterator[Query]:
    for panel in _panels():
        for target in panel.get("targets", []):
            shown = re.findall(r"{{\s*(\w+)\s*}}", target["legendFormat"])
            yield Query(panel["title"], target["expr"], frozenset(shown))
    dashboard = json.loads(_DASHBOARD.read_text(encoding="utf-8"))
    for each in dashboard["annotations"]["list"]:
        yield Query(each["name"], each["expr"], frozenset(re.findall(r"{{\s*(\w+)\s*}}", each["titleFormat"])))
    for each in dashboard["templating"]["list"]:
        if each["type"] == "query":
            asks = re.fullmatch(r"label_values\((.+), (\w+)\)", each["query"]["query"])
            assert asks, each
            yield Query(each["name"], f"count by ({asks[2]}) ({asks[1]})", frozenset({asks[2]}))
    for rule in _rules():
        shown = re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values()))
        yield Query(rule["alert"], rule["expr"], frozenset(shown))


def _asked(query: Query) -> Asked:
    expression = query.expression
    for variable, value in _VARIABLES.items():
        expression = expression.replace(variable, value)
    return asked(expression)


async def _told(platform: Platform) -> dict[str, set[str]]:
    """Return every series' name that a running platform tells once events have gone through it, with its labels."""
    issuer = Issuer(home=platform.settings.home, issuer="tributary", audience="tributary")
    token = issuer.issue(subject="m", roles=["bank_maker"], party=None, client_id="m")
    firm = {"name": "Anchor", "country": "CN", "account": "ACC-1", "size_class": "large"}
    async with httpx.AsyncClient(base_url=platform.origin, timeout=60) as http:
        headers = {"authorization": f"Bearer {token}"}
        assert (await http.post("/onboarding/v1/enterprises", json=firm, headers=headers)).status_code == 201

        async def came() -> bool:
            labels = _labels((await http.get("/metrics")).text)
            return "tributary_inbox_event_age_seconds_bucket" in labels and "tributary_inbox_lag_records" in labels

        await until(came, within_s=60)
        return _labels((await http.get("/metrics")).text)


def _labels(text: str) -> dict[str, set[str]]:
    found: Mapping[str, set[str]] = defaultdict(set)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name].update(sample.labels)
    return dict(found)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    home = tmp_path_factory.mktemp("platform")
    home.chmod(0o755)

    async def tell() -> dict[str, set[str]]:
        async with running_platform(Settings.model_construct(home=home, port=0), durable=False) as platform:
            return await _told(platform)

    return asyncio.run(tell())


def test_every_query_asks_for_metrics_and_labels_that_a_running_platform_has(told: dict[str, set[str]]) -> None:
    wrong = []
    for query in _queries():
        wants = _asked(query)
        assert wants.metrics, query
        for metric, labels in wants.metrics.items():
            if metric not in told:
                wrong.append(f"{query.where}: nothing is called {metric}")
                continue
            missing = labels - told[metric] - _BY_THE_SCRAPE
            wrong += [f"{query.where}: {metric} has no label {label}" for label in missing]
        known = set().union(*(told.get(metric, set()) for metric in wants.metrics)) | _BY_THE_SCRAPE
        wrong += [
            f"{query.where}: no metric here has a label {label}" for label in (wants.grouped | query.shown) - known
        ]
    assert wrong == []


def test_what_a_query_shows_it_has_not_summed_away() -> None:
    lost = []
    for query in _queries():
        wants = _asked(query)
        kept = wants.grouped | set().union(*wants.metrics.values()) if wants.is_aggregated else query.shown
        lost += [f"{query.where}: {label}" for label in query.shown - kept]
    assert lost == []


def test_every_metric_of_ours_is_on_the_dashboard_or_in_a_rule(told: dict[str, set[str]]) -> None:
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in told if name.startswith("tributary_")}
    wanted = {re.sub(r"_(bucket|sum|count)$", "", name) for query in _queries() for name in _asked(query).metrics}
    assert families - wanted == set()


def test_metrics_are_named_as_prometheus_names_them(told: dict[str, set[str]]) -> None:
    ours = {name: labels for name, labels in told.items() if name.startswith("tributary_")}
    assert [name for name in ours if not _NAME.fullmatch(name)] == []
    # Prometheus would rename such a label: every series has one by the scrape.
    assert [name for name, labels in ours.items() if labels & _BY_THE_SCRAPE] == []


def test_the_dashboard_is_one_that_grafana_shows() -> None:
    panels = _panels()
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: dict[tuple[int, int], str] = {}
    for panel in panels:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24, panel["title"]
        for x in range(at["x"], at["x"] + at["w"]):
            for y in range(at["y"], at["y"] + at["h"]):
                assert (x, y) not in taken, f"{panel['title']} lies on {taken.get((x, y))}"
                taken[x, y] = panel["title"]
        if panel["type"] != "row":
            assert panel["title"]
            assert len(panel["description"]) > 10, panel["title"]
            assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
            assert all(target["datasource"]["uid"] == "${datasource}" for target in panel["targets"])


def test_every_rule_says_what_it_means_and_which_run_book_helps() -> None:
    rules = _rules()
    assert len({rule["alert"] for rule in rules}) == len(rules)
    anchors = _anchors()
    for rule in rules:
        name, notes = rule["alert"], rule["annotations"]
        assert re.fullmatch(r"Tributary[A-Za-z]+", name)
        assert set(notes) == {"summary", "description", "runbook"}, name
        assert rule["labels"]["severity"] in {"critical", "warning"}, name
        assert re.fullmatch(r"\d+[smh]", rule.get("for", "0s")), name
        assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}, name
        for path, anchor in re.findall(r"(docs/[\w.]+)#([\w-]+)", " ".join(notes.values())):
            assert (path, anchor in anchors) == ("docs/operations.md", True), (name, anchor)
        assert "docs/operations.md#" in notes["runbook"], name


def test_a_service_without_any_worker_is_noticed_whichever_it_is() -> None:
    (rule,) = [rule for rule in _rules() if rule["alert"] == "TributaryNoWorker"]
    assert set(re.findall(r'absent\(\w+{service="(\w+)"}\)', rule["expr"])) == {
        service for service in SERVICES if topics_of(service)
    }


def _anchors() -> set[str]:
    text = (_ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize(
    ("expression", "complaint"),
    [
        ("sum(rate(tributary_x_total[5m])", "unbalanced"),
        ("sum by (a) (tributary_x))", "unbalanced"),
        ('tributary_x{a="b}', "unexpected"),
        ("tributary_x # 1 §", "unexpected"),
        ("frobnicate(tributary_x)", "frobnicate"),
    ],
)
def test_what_is_no_query_is_noticed(expression: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        asked(expression)


def test_a_query_is_read_as_prometheus_reads_it() -> None:
    found = asked('max by (a) (rate(m_total{b=~"x|{y}",c!=""}[5m] offset 1m)) / on (a, d) group_left () n_count > 1e3')
    assert found.metrics == {"m_total": {"b", "c"}, "n_count": set()}
    assert (found.grouped, found.is_aggregated) == ({"a", "d"}, True)
