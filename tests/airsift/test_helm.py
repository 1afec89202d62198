"""The Helm chart makes what the plain manifests have, and has Prometheus' rules from one file.

Its templates are rendered by Helm itself (`make helm`); no cluster has seen them.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tarfile
import tomllib
from pathlib import Path

import pytest
import yaml

from airsift import __version__, config

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy/helm/airsift"
RULES = ROOT / "deploy/prometheus/alerts.yml"
HELM = shutil.which("helm", path=str(ROOT / ".helm")) or shutil.which("helm")
with_helm = pytest.mark.skipif(HELM is None, reason="there is no Helm: `make helm` builds it")
OPTIONAL = ["serviceMonitor.enabled=true", "prometheusRule.enabled=true", "keda.enabled=true"]
HISTORY = ["history.enabled=true", "history.url=postgresql://airsift@postgres/airsift"]


def helm(*words, fails=False):
    command = [HELM, *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert bool(done.returncode) == fails, done.stdout + done.stderr
    return done.stderr if fails else done.stdout


def render(*sets, fails=False, release="airsift", values=None):
    """Return the objects of the chart by kind and name, or the error."""
    options = [word for each in sets for word in ("--set", each)]
    options += [] if values is None else ["--values", values]
    words = ["--namespace", "radio", "--kube-version", "1.31.0"]  # without a cluster it takes 1.20
    text = helm("template", release, str(CHART), *words, *options, fails=fails)
    if fails:
        return text
    return {(o["kind"], o["metadata"]["name"]): o for o in yaml.safe_load_all(text) if o}


def manifests(name):
    objects = yaml.safe_load_all((ROOT / "deploy/kubernetes" / name).read_text())
    return {(o["kind"], o["metadata"]["name"]): o for o in objects}


def plain(value):
    """Return an object without what only a chart has: labels, annotations, the release's name."""
    if isinstance(value, list):
        return [plain(each) for each in value]
    if not isinstance(value, dict):
        return "worker" if value == "airsift-worker" else value
    left = {k: plain(v) for k, v in value.items() if k not in ("labels", "annotations")}
    left.pop("app.kubernetes.io/instance", None)
    if "airsift.toml" in left:
        left["airsift.toml"] = tomllib.loads(left["airsift.toml"])
    return left


def test_the_rules_are_one_file():
    linked = CHART / "files/alerts.yml"
    assert linked.is_symlink()
    assert linked.resolve() == RULES


def test_the_chart_is_of_this_version():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == __version__


@with_helm
@pytest.mark.process
def test_helm_finds_nothing_wrong():
    helm("lint", "--strict", str(CHART))
    every = [*OPTIONAL, *HISTORY]
    helm("lint", "--strict", str(CHART), *(w for each in every for w in ("--set", each)))


@with_helm
@pytest.mark.process
def test_it_makes_what_the_manifests_have():
    made = {(kind, name.replace("-worker", "")): o for (kind, name), o in render().items()}
    written = {
        (kind, name.replace("worker", "airsift")): o
        for (kind, name), o in manifests("airsift.yaml").items()
    }
    assert made.keys() == written.keys()
    for key, each in written.items():
        assert plain(made[key]) == plain(each), key


@with_helm
@pytest.mark.process
def test_it_scales_as_the_manifest_does_and_no_replicas_contradict_it():
    made = render(*OPTIONAL)
    [scaled] = manifests("keda.yaml").values()
    assert plain(made["ScaledObject", "airsift"]) == plain(scaled)
    assert "replicas" not in made["StatefulSet", "airsift"]["spec"]
    error = render("keda.enabled=true", "keda.maxReplicas=25", fails=True)
    assert "config.kafka.topics.partitions=24" in error


@with_helm
@pytest.mark.process
def test_prometheus_finds_the_workers_under_the_job_of_the_rules():
    made = render(*OPTIONAL, "serviceMonitor.labels.release=prometheus")
    rule, monitor = made["PrometheusRule", "airsift"], made["ServiceMonitor", "airsift"]
    assert rule["spec"] == yaml.safe_load(RULES.read_text())
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    service = made["Service", "airsift-worker"]
    labels = service["metadata"]["labels"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert monitor["spec"]["namespaceSelector"] == {"matchNames": ["radio"]}
    [endpoint] = monitor["spec"]["endpoints"]
    assert endpoint["port"] in [port["name"] for port in service["spec"]["ports"]]
    assert labels[monitor["spec"]["jobLabel"]] == "airsift"
    pod = made["StatefulSet", "airsift"]["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= pod.items()


@with_helm
@pytest.mark.process
def test_values_become_the_configuration_that_a_worker_reads(tmp_path):
    made = render(
        "config.run.checkpoint_s=0.5",
        r"config.watch.expected={radio \"one\"\, Köln,b}",
        "config.kafka.wire.max_s=30",
        "config.kafka.exactly_once=true",
        "config.model.path=C:\\\\model",
    )
    path = tmp_path / "airsift.toml"
    path.write_text(made["ConfigMap", "airsift"]["data"]["airsift.toml"])
    loaded = config.load(path, environ={}).config
    assert loaded.run.checkpoint_s == 0.5
    assert loaded.watch.expected == ('radio "one", Köln', "b")
    assert (loaded.watch.port, loaded.kafka.wire.max_s) == (9464, 30)
    assert loaded.kafka.exactly_once is True
    assert loaded.model.path.endswith("C:\\model")
    checksum = "checksum/config"
    pods = [each["StatefulSet", "airsift"]["spec"]["template"] for each in (made, render())]
    assert len({pod["metadata"]["annotations"][checksum] for pod in pods}) == 2


# What YAML takes for something else, what ends its texts, and what Helm would fill in.
ODD = """{{ .Values.x }} # it's "odd": [a, {b}] 😀"""


@with_helm
@pytest.mark.process
def test_any_text_of_a_value_stays_that_text(tmp_path):
    odd = {
        "kafkaSecret": "123",
        "image": {"repository": "localhost:5000/true", "tag": "1.0"},
        "catalogue": {"storageClass": "on", "size": "20Gi"},
        "podAnnotations": {"odd": ODD, "lines": "a\nb\n", "yes": "yes"},
        "env": [{"name": "ODD", "value": f"{ODD}\n"}],
        "config": {
            "identify": {"catalogue": f"/data/{ODD}"},
            "kafka": {"group": "0123", "topics": {"audio": "null"}, "wire": {"max_bytes": 1 << 24}},
        },
        "ca": {"certificate": "-----BEGIN\n  x: {{ y }}\n\n-----END"},
        "keda": {"prometheus": f"http://x/?{ODD}", "query": ODD},
        "history": {"enabled": True, "url": f"postgresql://x/{ODD}", "passwordSecret": "null"},
        "serviceMonitor": {"labels": {"release": "1"}},
        "prometheusRule": {"labels": {"on": "off"}},
    }
    values = tmp_path / "values.yaml"
    values.write_text(yaml.safe_dump(odd, allow_unicode=True))
    made = render(*OPTIONAL, values=str(values))
    template = made["StatefulSet", "airsift"]["spec"]["template"]
    assert template["metadata"]["annotations"].items() >= odd["podAnnotations"].items()
    pod = template["spec"]
    assert pod["initContainers"][0]["args"][-1] == f"/data/{ODD}"
    assert {each["image"] for each in (*pod["initContainers"], *pod["containers"])} == {
        "localhost:5000/true:1.0"
    }
    assert odd["env"][0] in pod["containers"][0]["env"]
    mounted = {each["name"]: each["mountPath"] for each in pod["containers"][0]["volumeMounts"]}
    assert mounted["catalogue"] == f"/data/{ODD}"
    volumes = {each["name"]: each for each in pod["volumes"]}
    assert volumes["kafka"]["secret"]["secretName"] == "123"
    read = tomllib.loads(made["ConfigMap", "airsift"]["data"]["airsift.toml"])
    assert read["identify"] == odd["config"]["identify"]
    assert read["kafka"].items() >= {"group": "0123", "wire": {"max_bytes": 1 << 24}}.items()
    assert read["kafka"]["topics"]["audio"] == "null"
    authority = made["ConfigMap", "airsift-ca"]["data"]["ca.crt"]
    assert authority.strip() == odd["ca"]["certificate"]
    history = made["Deployment", "airsift-history"]["spec"]["template"]["spec"]
    assert history["containers"][0]["env"][0]["value"] == f"postgresql://x/{ODD}"
    assert {"secretName": "null", "defaultMode": 0o440} in [
        v.get("secret") for v in history["volumes"]
    ]
    claim = made["PersistentVolumeClaim", "airsift-catalogue"]["spec"]
    assert claim["storageClassName"] == "on"
    trigger = made["ScaledObject", "airsift"]["spec"]["triggers"][0]["metadata"]
    assert (trigger["serverAddress"], trigger["query"]) == (f"http://x/?{ODD}", ODD)


@with_helm
@pytest.mark.process
def test_releases_are_told_apart_by_names_that_kubernetes_takes():
    names = [
        "true",
        "null",
        "on",
        "e",
        "a" * 53,
        f"{'a' * 52}b",
        f"{'a' * 50}",
        f"{'b' * 43}-{'c' * 9}",
    ]
    taken = set()
    for release in names:
        made = render(*OPTIONAL, "history.enabled=true", "history.url=x", release=release)
        for (kind, name), each in made.items():
            assert re.fullmatch("[a-z]([-a-z0-9]{0,61}[a-z0-9])?", name), name
            assert all(isinstance(text, str) for text in each["metadata"]["labels"].values())
            assert (kind, name) not in taken
            taken.add((kind, name))
        [worker] = [name for kind, name in made if kind == "StatefulSet"]
        assert len(worker) <= 52  # with a hash behind it, it is a label
    for release in ("123", "1e3", "2026-01-01", "a.b"):
        assert "must begin with a letter" in render(release=release, fails=True)


@with_helm
@pytest.mark.process
def test_what_is_switched_off_is_nowhere():
    made = render(
        "driver=worker", "catalogue.enabled=false", "config.identify=null", "kafkaSecret=",
        "ca.certificate=", "podDisruptionBudget.enabled=false", "env[0].name=A", "env[0].value=b",
    )  # fmt: skip
    assert {kind for kind, _ in made} == {"ConfigMap", "Service", "StatefulSet"}
    pod = made["StatefulSet", "airsift"]["spec"]["template"]["spec"]
    assert "initContainers" not in pod
    assert [v["name"] for v in pod["volumes"]] == ["config", "tmp"]
    [worker] = pod["containers"]
    assert worker["args"][0] == "worker"
    assert {"name": "A", "value": "b"} in worker["env"]


@with_helm
@pytest.mark.process
def test_the_history_is_optional_and_knows_the_broker_and_its_database(tmp_path):
    made = render(*HISTORY, "history.passwordSecret=airsift-history")
    deployment = made.pop(("Deployment", "airsift-history"))
    assert made == render()
    pod = deployment["spec"]["template"]
    [container] = pod["spec"]["containers"]
    assert container["args"][:2] == ["history", "record"]
    environ = {each["name"]: each["value"] for each in container["env"]}
    path = tmp_path / "airsift.toml"
    path.write_text(made["ConfigMap", "airsift"]["data"]["airsift.toml"])
    loaded = config.load(path, environ=environ).config
    assert loaded.database.url.get_secret_value() == "postgresql://airsift@postgres/airsift"
    assert loaded.database.spool_mb == 0
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    security = loaded.kafka.security
    files = loaded.database.password_file, security.password_file, security.ca_file
    assert {str(Path(file).parent) for file in files} <= set(mounts)
    volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    assert volumes.keys() == set(mounts.values())
    assert volumes["history"]["secret"]["secretName"] == "airsift-history"
    # Nothing that selects workers selects it, nor the other way round.
    labels, worker = pod["metadata"]["labels"], made["StatefulSet", "airsift"]["spec"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    assert not worker["selector"]["matchLabels"].items() <= labels.items()
    assert not labels.items() <= worker["template"]["metadata"]["labels"].items()
    plainest = render(*HISTORY, "kafkaSecret=", "ca.certificate=")
    spec = plainest["Deployment", "airsift-history"]["spec"]["template"]["spec"]
    assert [volume["name"] for volume in spec["volumes"]] == ["config", "tmp"]
    assert "history.url" in render("history.enabled=true", fails=True)


@with_helm
@pytest.mark.process
def test_a_package_holds_the_rules(tmp_path):
    helm("package", str(CHART), "--destination", str(tmp_path))
    [package] = tmp_path.glob("*.tgz")
    with tarfile.open(package) as archive:
        rules = archive.extractfile("airsift/files/alerts.yml")
        assert rules is not None
        assert rules.read() == RULES.read_bytes()
