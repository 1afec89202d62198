"""Image, compose file, manifests, dashboard and alerts name what exists, and agree with the code.

The programs that own the formats check the rest, where they are installed.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from types import MappingProxyType

import pytest
import typer
import yaml
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from typer.testing import CliRunner

from airsift import config
from airsift.cli.app import make_app
from fingerprint.catalogue import Catalogue
from fingerprint.track import Track
from stream.audio import AudioChunk
from stream.events import Level
from stream.kafka.settings import KafkaSettings
from stream.sources.base import SourceStatus
from stream.telemetry.telemetry import Telemetry
from stream.testing import ListSink, music_like

ROOT = Path(__file__).parents[2]


def documents(name):
    return [*yaml.safe_load_all((ROOT / "deploy" / name).read_text())]


DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
OBJECTS = {(m["kind"], m["metadata"]["name"]): m for m in documents("kubernetes/airsift.yaml")}
POD = OBJECTS["StatefulSet", "airsift"]["spec"]["template"]["spec"]
[WORKER] = POD["containers"]
[CATALOGUE_POD] = documents("kubernetes/catalogue.yaml")
[SCALED] = documents("kubernetes/keda.yaml")
[SCRAPE] = documents("prometheus/prometheus.yml")
[RULES] = documents("prometheus/alerts.yml")
DASHBOARD = json.loads((ROOT / "deploy/grafana/airsift.json").read_text())
COMMANDS = {command.name for command in typer.main.get_command(make_app()).commands.values()}  # type: ignore[attr-defined]


CHECKS = {
    "promtool": "check config deploy/prometheus/prometheus.yml",
    "hadolint": "--failure-threshold warning Dockerfile",
    "docker compose": "config --quiet",
    "kubeconform": "-strict -ignore-missing-schemas deploy/kubernetes",
}


@pytest.mark.process
@pytest.mark.parametrize("program", CHECKS)
def test_the_program_that_owns_a_format_accepts_it(program):
    words = program.split()
    if not shutil.which(words[0]):
        pytest.skip(f"{program} is not installed")
    if (
        words[1:]
        and subprocess.run([*words, "version"], capture_output=True, check=False).returncode
    ):
        pytest.skip(f"{program} is not installed")
    words += CHECKS[program].split()
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.process
def test_alerts_fire_when_they_should_and_name_what_it_is_about():
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")
    words = [promtool, "test", "rules", "alerts.yml"]
    done = subprocess.run(
        words, cwd=Path(__file__).parent, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


# Metrics

FUNCTIONS = {"abs", "absent", "increase", "label_values", "max", "rate", "sum", "topk"}
FUNCTIONS |= {"bottomk", "histogram_quantile", "max_over_time", "quantile", "scalar"}
FUNCTIONS |= {"count", "min_over_time", "or", "unless", "vector"}
PROMETHEUS_LABELS = {"instance", "job"}  # given to every series when it is scraped
EXPRESSIONS = {
    **{f"alert {r['alert']}": r["expr"] for group in RULES["groups"] for r in group["rules"]},
    **{
        f"panel {panel['title']} {target['refId']}": target["expr"]
        for panel in DASHBOARD["panels"]
        for target in panel["targets"]
    },
    **{v["name"]: v["definition"] for v in DASHBOARD["templating"]["list"] if "definition" in v},
    "keda": SCALED["spec"]["triggers"][0]["metadata"]["query"],
}


LEVEL = Level(
    "a", 0, 80_000, 16_000, None, -25.0, (-25.0, -25.0), -3.0, -23.0, -23.0, -23.0, 0.9, 0, 0.0, ()
    , True,
)  # fmt: skip


class Refused(SourceStatus):
    refused = MappingProxyType({"a": 1})


class Telling(ListSink):
    """Tells a target of alarms."""

    deliveries = MappingProxyType({("email", "delivered"): 1})
    waiting = MappingProxyType({"email": 1})


def exported():
    """Return the names of all samples of a worker, with their labels."""
    named = {"station_series": 1, "expected": ("a",)}
    watch = Telemetry(config.load(environ={}).config.watch.model_copy(update=named))
    watch.on_batch([AudioChunk("a", 0, [], 16000)], [])
    watch.activity._silent.add("a")  # known only after half a minute
    watch.collector._drifts = [("a", 1.0)]  # known only after 12 minutes
    watch.collector._source = Refused()
    watch.collector._sinks = [Telling()]
    # A level, and its faults, are known after levels.interval_s.
    watch.collector._levels = [(LEVEL, ["frozen"])]
    found = {"up": set()}
    for family in text_string_to_metric_families(generate_latest(watch.metrics.registry).decode()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def selectors(expression):
    """Return the metrics of an expression, with the labels that it selects of each."""
    bare = re.sub(r"\[[^\]]*\]|\b(by|without) \([^)]*\)", "", expression)
    found = re.findall(r"([a-z_][a-z0-9_]*)(\{[^}]*\})?", re.sub(r'"[^"]*"', '""', bare))
    return [
        (name, set(re.findall(r"(\w+)=", labels)))
        for name, labels in found
        if name not in FUNCTIONS | PROMETHEUS_LABELS
    ]


def test_every_metric_and_label_that_is_named_is_exported():
    metrics = exported()
    for where, expression in EXPRESSIONS.items():
        used = selectors(expression)
        assert used, where
        for name, labels in used:
            assert name in metrics, where
            assert labels <= metrics[name] | PROMETHEUS_LABELS, where
            if name.endswith(("_total", "_bucket", "_sum", "_count")):  # of no use but as a rate
                assert re.search(rf"\b(rate|increase)\({name}\b", expression), where
        grouped = {
            label.strip()
            for labels in re.findall(r"\bby \(([^)]*)\)", expression)
            for label in labels.split(",")
        }
        known = PROMETHEUS_LABELS.union(*(metrics[name] for name, _ in used))
        assert grouped <= known, where


def test_the_stall_that_is_alerted_is_the_one_that_is_unhealthy():
    stall_s = config.load(environ={}).config.watch.stall_s
    assert EXPRESSIONS["alert AirsiftStalled"] == f"airsift_progress_age_seconds > {stall_s:g}"


def test_prometheus_scrapes_the_workers():
    [job] = SCRAPE["scrape_configs"]
    [scraped] = job["dns_sd_configs"]
    for values in (SERVICES["worker"]["environment"], dict(config.flatten(worker_toml()))):
        flat = {k.removeprefix("AIRSIFT_").lower().replace("__", "."): v for k, v in values.items()}
        assert int(flat["watch.port"]) == scraped["port"]
        assert flat["watch.address"] == "0.0.0.0"
    assert scraped["names"] == ["worker"]
    assert ("Service", "worker") in OBJECTS
    jobs = re.findall(r'job="(\w+)"', json.dumps([*EXPRESSIONS.values()]).replace("\\", ""))
    assert set(jobs) == {job["job_name"]}


# Configuration keys


def settings_of(service):
    given = {k: str(v) for k, v in service["environment"].items() if k.startswith("AIRSIFT_")}
    return config.load(environ=given).config


def worker_toml():
    return tomllib.loads(OBJECTS["ConfigMap", "airsift"]["data"]["airsift.toml"])


def test_every_setting_of_the_image_and_of_compose_exists():
    loaded = config.load(environ=image_environment("AIRSIFT_") | {"AIRSIFT_MODEL__DEVICE": "cpu"})
    assert loaded.config.watch.address == "127.0.0.1"
    for name in ("worker", "speech", "music", "history"):
        host = settings_of(SERVICES[name]).kafka.bootstrap_servers.split(":")[0]
        assert host in SERVICES
        assert SERVICES[name]["command"][0] in COMMANDS


def test_every_setting_of_the_manifests_exists_and_every_file_of_theirs_is_mounted(tmp_path):
    path = tmp_path / "airsift.toml"
    path.write_text(OBJECTS["ConfigMap", "airsift"]["data"]["airsift.toml"])
    loaded = config.load(path, environ={e["name"]: "airsift-0" for e in WORKER["env"]}).config
    assert loaded.kafka.transactional_id == "airsift-0"
    mounts = {m["mountPath"]: m["name"] for m in WORKER["volumeMounts"]}
    security = loaded.kafka.security
    assert {str(Path(p).parent) for p in (security.password_file, security.ca_file)} <= set(mounts)
    assert mounts[str(Path(WORKER["args"][-1]).parent)] == "config"
    header = (ROOT / "deploy/kubernetes/airsift.yaml").read_text()
    [(secret, key)] = re.findall(r"create secret generic (\S+) --from-literal=(\w+)=", header)
    assert [v["secret"]["secretName"] for v in POD["volumes"] if "secret" in v] == [secret]
    assert Path(security.password_file).name == key


def test_everything_is_on_loopback_unless_configured_otherwise():
    loaded = config.load(environ={}).config
    assert (loaded.watch.address, loaded.watch.port) == ("127.0.0.1", 0)
    assert loaded.kafka.bootstrap_servers.startswith("127.0.0.1:")
    for name, service in SERVICES.items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name


# Paths


def steps(word, text=DOCKERFILE):
    joined = re.sub(r"\\\n", " ", re.sub(r"^\s*#.*\n", "", text, flags=re.M))
    return [line.split(None, 1)[1] for line in joined.splitlines() if line.startswith(f"{word} ")]


def image_environment(prefix):
    pairs = (part.split("=", 1) for each in steps("ENV") for part in shlex.split(each))
    return {name: value for name, value in pairs if name.startswith(prefix)}


def test_the_image_copies_what_exists_and_docker_is_shown_it():
    shown = re.findall(r"^!(.*)$", (ROOT / ".dockerignore").read_text(), re.M)
    copied = [s for each in steps("COPY") if "--from" not in each for s in each.split()[:-1]]
    assert set(copied) == set(shown)
    assert all((ROOT / source).exists() for source in copied)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) <= set(copied)


def test_every_file_that_compose_and_prometheus_name_exists():
    for name, service in SERVICES.items():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert source in COMPOSE["volumes"] or (ROOT / source).exists(), name
    for rules in SCRAPE["rule_files"]:
        assert (ROOT / "deploy/prometheus" / rules).is_file()
    for name in ("speech", "music"):
        _, found, inside = SERVICES[name]["command"][1].partition("site-packages/")
        assert found
        assert (ROOT / inside).is_file()
    [provider] = documents("grafana/provisioning/dashboards/airsift.yaml")[0]["providers"]
    mounted = [v.split(":")[1] for v in SERVICES["grafana"]["volumes"]]
    assert f"{provider['options']['path']}/airsift.json" in mounted


def test_passwords_are_not_in_the_repository():
    for secret in COMPOSE["secrets"].values():
        file = default(secret["file"]).removeprefix("./")
        assert file in (ROOT / ".gitignore").read_text().splitlines()
        assert not (ROOT / file).exists()


# What must agree


def default(text):
    """Put the defaults of variables into a value of compose.yaml."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def test_the_image_and_the_pods_run_as_one_plain_user():
    [user] = steps("USER")
    assert user.isdecimal(), "Kubernetes cannot know that a name is not root"
    assert int(user) > 0
    assert f"--uid {user}" in DOCKERFILE
    for pod in (POD, CATALOGUE_POD["spec"]):
        assert pod["securityContext"]["runAsUser"] == int(user)
        for container in pod["containers"]:
            assert container["securityContext"] == WORKER["securityContext"]
    assert WORKER["securityContext"]["readOnlyRootFilesystem"]
    assert image_environment("HOME") == {"HOME": "/tmp"}  # the only place that is writable
    assert "/tmp" in [m["mountPath"] for m in WORKER["volumeMounts"]]


def test_health_is_checked_where_it_is_served():
    port = image_environment("AIRSIFT_")["AIRSIFT_WATCH__PORT"]
    assert f"http://127.0.0.1:{port}/healthz" in DOCKERFILE
    [served] = WORKER["ports"]
    assert served["containerPort"] == worker_toml()["watch"]["port"]
    for probe, path in (("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
        assert WORKER[probe]["httpGet"] == {"path": path, "port": served["name"]}
    [service] = OBJECTS["Service", "worker"]["spec"]["ports"]
    assert (service["port"], service["targetPort"]) == (served["containerPort"], served["name"])


def test_the_catalogue_is_made_first_and_workers_only_read_it():
    folders = {settings_of(SERVICES[name]).identify.catalogue for name in ("worker", "catalogue")}
    [folder] = folders
    assert SERVICES["worker"]["volumes"] == [f"catalogue:{folder}:ro"]
    assert SERVICES["catalogue"]["volumes"] == [f"catalogue:{folder}"]
    # A new volume gets the owner of the image's folder.
    assert f"--owner=10001 --group=10001 {folder}" in DOCKERFILE
    [first] = POD["initContainers"]
    [adder] = CATALOGUE_POD["spec"]["containers"]
    mounts = {}
    for container in (first, adder, WORKER):
        [mount] = [m for m in container["volumeMounts"] if m["name"] == "catalogue"]
        assert bool(mount.get("readOnly")) is (container is WORKER)
        mounts[mount["mountPath"]] = container
    assert set(mounts) == {folder} == {worker_toml()["identify"]["catalogue"]}
    assert first["args"] == ["catalogue", "create", "--catalogue", folder]


def test_the_history_of_compose_is_off_by_default_and_on_a_volume_that_the_image_owns():
    service = SERVICES["history"]
    assert service["profiles"] == ["history"]
    chosen = settings_of(service).database
    [volume] = service["volumes"]
    source, folder = volume.split(":")
    assert source in COMPOSE["volumes"]
    assert str(Path(chosen.url.get_secret_value()).parent) == folder
    assert chosen.spool_mb == 0  # nothing else of the container can be written
    [made] = re.findall(r"install --directory --owner=10001 --group=10001 (.*)", DOCKERFILE)
    assert folder in made.split()


def test_the_command_that_compose_runs_makes_a_catalogue_that_workers_open(tmp_path):
    words = [*SERVICES["catalogue"]["entrypoint"], *SERVICES["catalogue"]["command"]][1:]
    folder = tmp_path / "catalogue"
    words += ["--set", f"identify.catalogue={folder}"]
    for _ in range(2):
        assert CliRunner().invoke(make_app(), words).output == f"0 tracks in {folder}\n"
    catalogue = Catalogue.open(folder)
    catalogue.add(music_like(6), Track("mine"))
    catalogue.close()
    assert CliRunner().invoke(make_app(), words).output == f"1 tracks in {folder}\n"


def test_kafka_advertises_the_address_that_each_client_uses():
    given = SERVICES["kafka"]["environment"]
    listeners = dict(each.split("://") for each in given["KAFKA_LISTENERS"].split(","))
    advertised = dict(
        each.split("://") for each in default(given["KAFKA_ADVERTISED_LISTENERS"]).split(",")
    )
    assert advertised["PLAINTEXT"] == settings_of(SERVICES["worker"]).kafka.bootstrap_servers
    [published] = SERVICES["kafka"]["ports"]
    address, inside = default(published).rsplit(":", 1)
    assert advertised["HOST"] == address == KafkaSettings.default().bootstrap_servers
    assert listeners["HOST"] == f":{inside}"
    assert int(given["KAFKA_MESSAGE_MAX_BYTES"]) >= KafkaSettings.default().max_request_bytes


@pytest.mark.process
def test_every_topic_is_made_as_the_workers_want_it():
    [script] = SERVICES["topics"]["command"]
    names = {v for v in KafkaSettings.default().topics.model_dump().values() if isinstance(v, str)}
    kinds = re.search(r"for kind in ([\w ]+);", script)
    assert kinds
    made = {f"airsift.{kind}" for kind in kinds[1].split()}
    made |= set(re.findall(r"\bmake (airsift\.[\w.-]*\w)", script))
    assert made == names
    assert "airsift.state --config cleanup.policy=compact" in script
    assert len(set(re.findall(r"--partitions (\d+)", script))) == 1
    shell = ["bash", "-n", "-c", script.replace("$$", "$")]
    subprocess.run(shell, check=True)


def test_selectors_select_the_workers_and_nobody_else():
    labels = OBJECTS["StatefulSet", "airsift"]["spec"]["template"]["metadata"]["labels"]
    for selector in (
        OBJECTS["Service", "worker"]["spec"]["selector"],
        OBJECTS["StatefulSet", "airsift"]["spec"]["selector"]["matchLabels"],
        OBJECTS["PodDisruptionBudget", "airsift"]["spec"]["selector"]["matchLabels"],
    ):
        assert selector.items() <= labels.items()
        assert not selector.items() <= CATALOGUE_POD["metadata"]["labels"].items()


def test_no_more_workers_than_partitions():
    partitions = worker_toml()["kafka"]["topics"]["partitions"]
    assert SCALED["spec"]["maxReplicaCount"] <= partitions
    assert SCALED["spec"]["scaleTargetRef"]["name"] == "airsift"


@pytest.mark.process
@pytest.mark.parametrize(
    ("device", "index"), [("cpu", "https://index.example/cpu"), ("cpu", ""), ("cuda", "")]
)
def test_every_pin_is_in_the_image_but_those_for_training_and_other_devices(
    device, index, tmp_path
):
    lock = ROOT / "requirements.lock"
    script = ROOT / "scripts/image_requirements.py"
    subprocess.run([sys.executable, script, lock, device, index], cwd=tmp_path, check=True)
    rest, torch = ((tmp_path / f"{name}.txt").read_text() for name in ("rest", "torch"))
    pins = {line for line in lock.read_text().splitlines() if line and not line.startswith("#")}
    installed = {line for line in (rest + torch).splitlines() if not line.startswith("--")}
    left_out = {re.split(r"[=<>]", pin)[0] for pin in pins - installed}
    assert installed <= pins
    if not index:
        assert left_out == {"torchaudio"}
    else:
        assert all(re.match("nvidia-|cuda-|triton$|torchaudio$", name) for name in left_out)
        assert not re.search("nvidia|triton|cuda-", rest + torch)
        assert torch.startswith(f"--index-url {index}\ntorch==")
    assert "torch==" not in rest
    assert re.search(r"^hatchling==", rest, re.M)  # builds the wheel without another download


def test_nothing_that_runs_needs_what_the_image_leaves_out():
    for package in ("airsift", "stream", "model", "fingerprint"):
        for path in (ROOT / package).rglob("*.py"):
            # They make the windows of `airsift evaluate` and the tags of `airsift corpus build`.
            if path.name in ("conditions.py", "teacher.py") or "experiments" in path.parts:
                continue
            assert not re.search(r"^\s*(import|from) torchaudio", path.read_text(), re.M), path
