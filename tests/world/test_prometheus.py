"""contrib/prometheus on a real audit: Debian's node exporter exposes it, Debian's Prometheus scrapes it."""

from __future__ import annotations

import json
import subprocess
import urllib.parse
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.support.packages import needs
from tests.support.programs import eventually, portwait, running
from tests.support.states import outbound_established
from tests.support.systemd import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.world

_FOLDER = ROOT / "contrib" / "prometheus"
_DOCKER = ROOT / "contrib" / "docker" / "kubernetes"
_PORT = 30010
_RULES = yaml.safe_load((_FOLDER / "alerts.yaml").read_text())["groups"][0]["rules"]
_HOST = 'instance="host",job="node"'
_DASHBOARD = json.loads((_FOLDER / "dashboard.json").read_text())


@pytest.fixture
def taken(net: None) -> Iterator[None]:  # noqa: ARG001  # the order: inside the private network
    """Let the kernel give the port to a client."""
    with outbound_established(_PORT):
        yield


def _label(port: int) -> str:
    return f',port="{port}",protocol="tcp",process=""'


def _audit() -> str:
    words = ("audit", "--only", "--window", "0s", "--format", "prometheus", f"{_PORT},30012")
    done = subprocess.run(portwait(*words), capture_output=True, text=True, check=False)
    assert done.returncode == 1, done
    return done.stdout


def _series(metrics: str, other: dict[str, str]) -> list[dict[str, str]]:
    """Turn a real audit into promtool's series of two hours; `other` are values in place of the audit's."""
    values = {}
    for line in metrics.splitlines():
        if not line.startswith("#"):
            sample, value = line.rsplit(" ", 1)
            name, _, labels = sample.partition("{")
            values[f"{name}{{{','.join(filter(None, [_HOST, labels.rstrip('}')]))}}}"] = other.get(name, value)
    for name in ("portwait_persisted_drift", "node_textfile_mtime_seconds"):  # a host that has the one and the other
        label = ',file="portwait.prom"' if name.startswith("node") else ""
        values[f"{name}{{{_HOST}{label}}}"] = other.get(name, "7200" if label else "0")
    return [{"series": series, "values": f"{value}x120"} for series, value in values.items()]


@pytest.mark.parametrize(
    ("alert", "other", "labels"),
    [
        ("PortTaken", {}, [_label(_PORT)]),
        ("PortLikelyToBeTaken", {"portwait_port_probability": "0.25"}, [_label(_PORT), _label(30012)]),
        ("ReservationLostAtBoot", {"portwait_reserved_until_boot_ports": "3"}, [""]),
        ("ReservationDrift", {"portwait_persisted_drift": "1"}, [""]),
        ("SourcePortsRunOut", {"portwait_usable_ports": "400"}, [""]),
        ("PortAuditStale", {"node_textfile_mtime_seconds": "60"}, [',file="portwait.prom"']),
    ],
)
def test_an_alert_fires_on_the_series_of_an_audit(
    tmp_path: Path,
    taken: None,  # noqa: ARG001
    alert: str,
    other: dict[str, str],
    labels: list[str],
) -> None:
    """It fires for what it is about and for nothing else, and is silent where all is well."""
    needs("promtool", "prometheus")
    firing = f'ALERTS{{alertname="{alert}",alertstate="firing"}}'
    severity = "info" if alert == "PortLikelyToBeTaken" else "warning"
    told = [{"labels": f'{firing[:-1]},severity="{severity}",{_HOST}{more}}}', "value": 1} for more in labels]
    well = {"portwait_port_taken": "0", "portwait_port_probability": "0"}
    cases = [(other, told), (well, [])]
    tests = [
        {
            "interval": "1m",
            "input_series": _series(_audit(), values),
            "promql_expr_test": [{"expr": firing, "eval_time": "90m", "exp_samples": samples}],
        }
        for values, samples in cases
    ]
    document = {"rule_files": [str(_FOLDER / "alerts.yaml")], "evaluation_interval": "1m", "tests": tests}
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump(document))
    argv = ["promtool", "test", "rules", str(tmp_path / "tests.yaml")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("protocol", "target", "evict"), [("tcp", "30010", "30010"), ("udp", "30010/udp", "--evict=udp 30010/udp")]
)
def test_the_alert_of_a_taken_port_names_that_port(tmp_path: Path, protocol: str, target: str, evict: str) -> None:
    """TCP and UDP are two ports: commands on the one say nothing of the other."""
    needs("promtool", "prometheus")
    labels = {"instance": "host", "port": "30010", "protocol": protocol}
    inner = ",".join(f'{name}="{value}"' for name, value in labels.items())
    description = (
        "Nobody listens on the port, and a service that wants it cannot start. On that host, "
        f"`portwait explain {target}` says whose connection it is, and `portwait evict {evict}` destroys it."
    )
    told = {
        "exp_labels": {**labels, "severity": "warning"},
        "exp_annotations": {
            "summary": f"30010/{protocol} on host is held by a connection",
            "description": description,
        },
    }
    case = {
        "interval": "1m",
        "input_series": [{"series": f"portwait_port_taken{{{inner}}}", "values": "1x9"}],
        "alert_rule_test": [{"alertname": "PortTaken", "eval_time": "5m", "exp_alerts": [told]}],
    }
    document = {"rule_files": [str(_FOLDER / "alerts.yaml")], "evaluation_interval": "1m", "tests": [case]}
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump(document))
    argv = ["promtool", "test", "rules", str(tmp_path / "tests.yaml")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tested() -> None:
    """By the table above."""
    [table] = [mark for mark in test_an_alert_fires_on_the_series_of_an_audit.pytestmark if mark.name == "parametrize"]  # type: ignore[attr-defined]  # pytest's own
    assert [row[0] for row in table.args[1]] == [rule["alert"] for rule in _RULES]


def _get(path: str, **query: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:9090/api/v1/{path}?{urllib.parse.urlencode(query)}") as answer:
        return json.load(answer)["data"]


def test_prometheus_scrapes_an_audit(tmp_path: Path, taken: None) -> None:  # noqa: ARG001
    """Through node exporter's textfile collector; every alert and panel can be evaluated, and PortTaken is pending."""
    needs("prometheus", "prometheus")
    needs("prometheus-node-exporter", "prometheus-node-exporter")
    subprocess.run(portwait("reserve", "30012"), check=True, capture_output=True)
    target = tmp_path / "portwait.prom"
    words = ("audit", "--only", "--window", "0s", "--format", "prometheus", "--output", str(target), f"{_PORT},30012")
    assert subprocess.run(portwait(*words), check=False).returncode == 1
    scrape = {"job_name": "node", "static_configs": [{"targets": ["127.0.0.1:9100"]}]}
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(_FOLDER / "alerts.yaml")],
        "scrape_configs": [scrape],
    }
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    exporter = [
        *("prometheus-node-exporter", "--web.listen-address=127.0.0.1:9100", "--collector.disable-defaults"),
        *("--collector.textfile", f"--collector.textfile.directory={tmp_path}"),
    ]
    server = [
        *("prometheus", f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data"),
        "--web.listen-address=127.0.0.1:9090",
    ]
    with running(exporter) as node, running(server) as prometheus:
        node.complains("Listening on")
        prometheus.complains("Server is ready to receive web requests")
        [taken_now] = eventually(lambda: _get("query", query="portwait_port_taken == 1")["result"], "the scrape")
        assert taken_now["metric"]["port"] == str(_PORT)
        alerts = eventually(lambda: _get("alerts")["alerts"], "the alert")
        assert [(alert["labels"]["alertname"], alert["state"]) for alert in alerts] == [("PortTaken", "pending")]
        assert f"`portwait evict {_PORT}`" in alerts[0]["annotations"]["description"]
        assert [rule["health"] for rule in _get("rules")["groups"][0]["rules"]] == ["ok"] * len(_RULES)
        for panel in _DASHBOARD["panels"]:
            for asked in panel["targets"]:
                query = asked["expr"].replace("$instance", ".*")
                assert _get("query", query=query)["result"], panel["title"]
        [host] = _get("label/instance/values")
        assert host == "127.0.0.1:9100"


def test_the_dashboard_is_one_that_grafana_takes() -> None:
    """Panels have numbers of their own, do not overlap, and ask the data source that the reader chooses."""
    panels = _DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    fields: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        own = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not own & fields, panel["title"]
        assert max(x for x, _ in own) < 24
        fields |= own
        assert panel["datasource"]["uid"] == "${datasource}"
    assert [variable["name"] for variable in _DASHBOARD["templating"]["list"]] == ["datasource", "instance"]


@pytest.mark.parametrize(
    ("ports", "status", "said"),
    [
        (str(_PORT), 1, f"held by a connection: {_PORT}/tcp\n"),
        ("30012", 0, "no planned port is held by a connection\n"),
        ("nonsense", 2, "portwait audit failed\n"),
    ],
)
def test_node_problem_detectors_script(tmp_path: Path, taken: None, ports: str, status: int, said: str) -> None:  # noqa: ARG001
    """Its statuses are the detector's: 0 fine, 1 a problem, 2 not known. The message fits the length that is set."""
    data = yaml.safe_load((_DOCKER / "configmap-node-problem-detector.yaml").read_text())["data"]
    monitor = json.loads(data["portwait.json"])
    [rule] = monitor["rules"]
    assert rule["condition"] in [condition["type"] for condition in monitor["conditions"]]
    script = tmp_path / "taken.sh"
    script.write_text(data["taken.sh"])
    assert rule["args"][0].endswith(f"/{script.name}")
    folder = str(Path(str(portwait()[0])).parent)
    argv = [rule["path"], str(script), ports]
    done = subprocess.run(argv, env={"PATH": f"{folder}:/usr/bin:/bin"}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (status, said)
    assert len(done.stdout) <= monitor["pluginConfig"]["max_output_length"]
