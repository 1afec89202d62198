"""Image, compose file and manifests fit the code, each other, and what people rely on.

They cannot be run here: there is no container engine. So what can be told by reading is.
"""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pytest
import typer
import yaml
from typer.testing import CliRunner

from airsift import config
from airsift.cli.app import app
from fingerprint.catalogue import Catalogue
from fingerprint.track import Track
from stream.kafka.settings import KafkaSettings

ROOT = Path(__file__).parents[2]
DOCKER = (ROOT / "Dockerfile").read_text()
HEADER = (ROOT / "compose.yaml").read_text().partition("\nname:")[0]
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
MANIFESTS = {
    name: [*yaml.safe_load_all((ROOT / "deploy/kubernetes" / name).read_text())]
    for name in ("airsift.yaml", "catalogue.yaml", "keda.yaml")
}
BY_KIND = {(m["kind"], m["metadata"]["name"]): m for m in MANIFESTS["airsift.yaml"]}
SCRAPE = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
[SCRAPED] = SCRAPE["scrape_configs"][0]["dns_sd_configs"]
LOCK = (ROOT / "requirements.lock").read_text()

# Kafka's own, as the image translates them: KAFKA_NODE_ID is node.id.
BROKER_KEYS = {
    "advertised.listeners",
    "auto.create.topics.enable",
    "controller.listener.names",
    "controller.quorum.voters",
    "group.initial.rebalance.delay.ms",
    "inter.broker.listener.name",
    "listener.security.protocol.map",
    "listeners",
    "log.dirs",
    "message.max.bytes",
    "node.id",
    "offsets.topic.replication.factor",
    "process.roles",
    "transaction.state.log.min.isr",
    "transaction.state.log.replication.factor",
}
COMMANDS = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
TOPIC_KEYS = {"retention.ms", "cleanup.policy", "max.message.bytes"}


def instructions(text: str) -> list[tuple[str, str]]:
    """Return a Dockerfile's instructions, continued lines joined."""
    lines = re.sub(r"\\\n", " ", re.sub(r"^\s*#.*\n", "", text, flags=re.M)).splitlines()
    return [(line.split()[0], line.split(None, 1)[1].strip()) for line in lines if line.strip()]


STEPS = instructions(DOCKER)
STAGES = [i for i, (word, _) in enumerate(STEPS) if word == "FROM"]
FINAL = STEPS[STAGES[-1] :]


def copies(steps):
    return [shlex.split(rest) for word, rest in steps if word == "COPY"]


def environment(steps):
    found = {}
    for word, rest in steps:
        if word == "ENV":
            found |= dict(part.split("=", 1) for part in shlex.split(rest))
    return found


def test_the_image_copies_what_is_there_and_what_is_not_ignored():
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    shown = {rule[1:] for rule in rules if rule.startswith("!")}
    build = copies(STEPS[: STAGES[-1]])
    sources = [source for *given, _ in build for source in given]
    for source in sources:
        assert (ROOT / source).exists(), source
    assert set(sources) == shown
    hidden = {rule for rule in rules[1:] if not rule.startswith("!")}
    assert hidden == {"**/__pycache__", "**/*.pyc"}
    # All that the wheel is made of.
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) <= set(sources)


def test_layers_that_change_seldom_come_first():
    torch, rest, code = (
        next(i for i, (_, text) in enumerate(STEPS) if needle in text)
        for needle in ("torch.txt", "rest.txt", "stream stream")
    )
    torch = next(i for i, (_, text) in enumerate(STEPS) if "--requirement torch.txt" in text)
    rest = next(i for i, (_, text) in enumerate(STEPS) if "--requirement rest.txt" in text)
    assert torch < rest < code < STAGES[-1]


def test_the_image_is_for_a_plain_user_and_holds_nothing_to_build_with():
    assert [word for word, _ in FINAL].count("USER") == 1
    [user] = [rest for word, rest in FINAL if word == "USER"]
    assert user.isdecimal(), "Kubernetes cannot tell that a name is not root"
    assert int(user) > 0
    assert f"--uid {user}" in DOCKER
    after = [word for word, _ in FINAL[[word for word, _ in FINAL].index("USER") :]]
    assert not {"RUN", "COPY", "ADD"} & set(after)
    assert copies(FINAL) == [["--from=build", "/opt/airsift", "/opt/airsift"]]
    assert "ADD" not in {word for word, _ in STEPS}
    for _, image in [step for step in STEPS if step[0] == "FROM"]:
        assert re.fullmatch(r"python:3\.11-slim-bookworm( AS \w+)?", image), image
    for word, rest in STEPS:
        if word == "RUN":
            assert "sudo" not in rest
            assert not re.search(r"pip install (?!.*--(requirement|no-deps))", rest), rest
    labels = " ".join(rest for word, rest in FINAL if word == "LABEL")
    for label in ("title", "description", "licenses", "version"):
        assert f"org.opencontainers.image.{label}=" in labels


def test_the_check_asks_where_the_image_serves():
    served = environment(FINAL)
    [check] = [rest for word, rest in FINAL if word == "HEALTHCHECK"]
    assert f"http://127.0.0.1:{served['AIRSIFT_WATCH__PORT']}/healthz" in check
    assert ("EXPOSE", served["AIRSIFT_WATCH__PORT"]) in FINAL
    assert served["HOME"] == "/tmp"  # the only place that is writable
    airsifts = {key: value for key, value in served.items() if key.startswith("AIRSIFT_")}
    airsifts["AIRSIFT_MODEL__DEVICE"] = "cpu"
    loaded = config.load(environ=airsifts).config
    assert loaded.watch.address == "127.0.0.1"


@pytest.mark.process
@pytest.mark.parametrize(
    ("device", "index"), [("cpu", "https://index.example/cpu"), ("cpu", ""), ("cuda", "")]
)
def test_every_pin_is_in_the_image_but_those_for_training_and_other_devices(
    device, index, tmp_path
):
    script = ROOT / "scripts/image_requirements.py"
    subprocess.run(
        [sys.executable, script, ROOT / "requirements.lock", device, index],
        cwd=tmp_path,
        check=True,
    )
    rest, torch = ((tmp_path / f"{name}.txt").read_text() for name in ("rest", "torch"))
    pins = {line for line in LOCK.splitlines() if line and not line.startswith("#")}
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
    # Builds the wheel without another download.
    assert re.search(r"^hatchling==", rest, re.M)


def test_nothing_that_runs_needs_what_the_image_leaves_out():
    for package in ("airsift", "stream", "model", "fingerprint"):
        for path in (ROOT / package).rglob("*.py"):
            if path.name == "conditions.py":  # makes the windows of `airsift evaluate`
                continue
            assert not re.search(r"^\s*(import|from) torchaudio", path.read_text(), re.M), path


def airsift_environment(service):
    return {k: str(v) for k, v in service["environment"].items() if k.startswith("AIRSIFT_")}


def test_airsifts_services_have_settings_that_exist():
    for name in ("worker", "speech", "music"):
        service = SERVICES[name]
        loaded = config.load(environ=airsift_environment(service)).config
        assert loaded.kafka.bootstrap_servers.split(":")[0] in SERVICES
        assert service["read_only"]
        assert service["tmpfs"] == ["/tmp"]
        assert service["cap_drop"] == ["ALL"]
        assert service["command"][0] in {
            c.name for c in typer.main.get_command(app).commands.values()
        }
    worker = SERVICES["worker"]
    assert worker["deploy"]["replicas"] >= 2
    assert worker["command"] == ["run", "--source", "kafka", "--sink", "kafka"]


def test_prometheus_finds_the_workers():
    for given in (SERVICES["worker"]["environment"], dict(config.flatten(worker_toml()))):
        flat = {k.removeprefix("AIRSIFT_").lower().replace("__", "."): v for k, v in given.items()}
        assert int(flat["watch.port"]) == SCRAPED["port"]
        assert flat["watch.address"] == "0.0.0.0"
    assert SCRAPED["names"] == ["worker"]
    assert "worker" in SERVICES
    assert ("Service", "worker") in BY_KIND


def default(text):
    """Put the defaults of variables into a value of compose.yaml."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def test_a_catalogue_is_there_before_the_workers_read_it_and_others_write_it():
    worker, catalogue = SERVICES["worker"], SERVICES["catalogue"]
    for service, mode in ((worker, ":ro"), (catalogue, "")):
        folder = service["environment"]["AIRSIFT_IDENTIFY__CATALOGUE"]
        assert service["volumes"] == [f"catalogue:{folder}{mode}"]
        assert config.load(environ=airsift_environment(service)).config.identify.catalogue == folder
        # A new volume gets the owner of the image's folder.
        assert any(word == "RUN" and f"--owner=10001 --group=10001 {folder}" in rest
                   for word, rest in FINAL)  # fmt: skip
    assert catalogue["entrypoint"] == ["airsift", "catalogue"]
    assert catalogue["command"] == ["create"]
    assert catalogue["restart"] == "no"
    assert not catalogue["depends_on"]  # tracks are added without a broker
    for name in ("topics", "catalogue"):
        assert worker["depends_on"][name] == {"condition": "service_completed_successfully"}


def test_the_command_that_compose_runs_makes_a_catalogue_that_workers_open(tmp_path):
    words = [*SERVICES["catalogue"]["entrypoint"], *SERVICES["catalogue"]["command"]][1:]
    folder = tmp_path / "catalogue"
    for _ in range(2):
        done = CliRunner().invoke(app, [*words, "--set", f"identify.catalogue={folder}"])
        assert done.exit_code == 0, done.output
        assert done.output == f"0 tracks in {folder}\n"
    catalogue = Catalogue.open(folder)
    catalogue.add(tone(), Track("mine"))
    catalogue.close()
    done = CliRunner().invoke(app, [*words, "--set", f"identify.catalogue={folder}"])
    assert done.output == f"1 tracks in {folder}\n"


def tone():
    t = np.arange(16_000 * 6) / 16_000
    noise = np.random.default_rng(0).standard_normal(len(t))
    return (0.1 * np.sin(2 * np.pi * 440 * t) + 0.1 * noise).astype(np.float32)


def test_only_loopback_is_published():
    for name, service in SERVICES.items():
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), name


def test_every_service_is_limited_restarted_and_has_a_version():
    for name, service in SERVICES.items():
        limits = service["deploy"]["resources"]["limits"]
        assert set(limits) == {"cpus", "memory"}, name
        assert "restart" in service, name
        if service["image"] != "airsift":
            assert re.search(r":v?\d+\.\d+\.\d+$", service["image"]), name
    for name in ("kafka", "prometheus", "grafana"):
        assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"


def test_every_file_that_is_mounted_is_there():
    for name, service in SERVICES.items():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (ROOT / source).exists(), name
                assert volume.endswith(":ro")
            else:
                assert source in COMPOSE["volumes"]
        for each in service.get("depends_on", ()):
            assert each in SERVICES
        assert set(service.get("secrets", ())) <= set(COMPOSE["secrets"])
    for secret in COMPOSE["secrets"].values():
        file = default(secret["file"])
        assert file.startswith("./")
        assert f"{file[2:]}\n" in HEADER.replace("      once", "\n")
        assert file[2:] in (ROOT / ".gitignore").read_text().splitlines()
        assert not (ROOT / file).exists()  # nobody's password is in the repository


def test_kafkas_settings_have_kafkas_names():
    given = SERVICES["kafka"]["environment"]
    keys = {k.removeprefix("KAFKA_").lower().replace("_", ".") for k in given} - {"heap.opts"}
    assert keys <= BROKER_KEYS
    listeners = dict(each.split("://") for each in given["KAFKA_LISTENERS"].split(","))
    kinds = dict(e.split(":") for e in given["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(","))
    assert set(listeners) == set(kinds)
    assert given["KAFKA_CONTROLLER_LISTENER_NAMES"] in listeners
    served = airsift_environment(SERVICES["worker"])["AIRSIFT_KAFKA__BOOTSTRAP_SERVERS"]
    advertised = dict(
        e.split("://") for e in default(given["KAFKA_ADVERTISED_LISTENERS"]).split(",")
    )
    assert advertised["PLAINTEXT"] == served
    assert given["KAFKA_INTER_BROKER_LISTENER_NAME"] == "PLAINTEXT"
    # Whoever comes by the port that is published is told that port, with its own address.
    [published] = SERVICES["kafka"]["ports"]
    address, inside = default(published).rsplit(":", 1)
    assert advertised["HOST"] == address == KafkaSettings().bootstrap_servers
    assert listeners["HOST"] == f":{inside}"
    assert int(given["KAFKA_MESSAGE_MAX_BYTES"]) >= KafkaSettings().max_request_bytes


@pytest.mark.process
def test_every_topic_is_made_as_the_workers_want_it():
    [script] = SERVICES["topics"]["command"]
    topics = KafkaSettings().topics.model_dump()
    names = {v for k, v in topics.items() if isinstance(v, str)}
    made = set(re.findall(r"\bmake (airsift\.[\w.-]+)", script)) - {"airsift."}
    kinds = re.search(r"for kind in ([\w ]+);", script)
    assert kinds
    made = {m for m in made if not m.endswith(".")} | {f"airsift.{k}" for k in kinds[1].split()}
    assert made == names
    assert set(re.findall(r"--config ([\w.]+)=", script)) <= TOPIC_KEYS
    assert "airsift.state --config cleanup.policy=compact" in script
    assert len(set(re.findall(r"--partitions (\d+)", script))) == 1
    shell = subprocess.run(
        ["bash", "-n"], input=script.replace("$$", "$"), text=True, capture_output=True, check=False
    )
    assert shell.returncode == 0, shell.stderr


def test_the_demos_audio_is_packaged():
    for name in ("speech", "music"):
        path = Path(SERVICES[name]["command"][1])
        assert path.parts[:6] == ("/", "opt", "airsift", "lib", "python3.11", "site-packages")
        assert (ROOT / Path(*path.parts[6:])).is_file()
        assert SERVICES[name]["profiles"] == ["demo"]


def test_grafana_is_provisioned_with_our_dashboard():
    folder = ROOT / "deploy/grafana/provisioning"
    [source] = yaml.safe_load((folder / "datasources/prometheus.yaml").read_text())["datasources"]
    assert source["type"] == "prometheus"
    assert re.fullmatch(r"http://prometheus:9090", source["url"])
    assert "prometheus" in SERVICES
    [provider] = yaml.safe_load((folder / "dashboards/airsift.yaml").read_text())["providers"]
    targets = [v.split(":")[1] for v in SERVICES["grafana"]["volumes"]]
    assert any(fnmatch(t, provider["options"]["path"] + "/*.json") for t in targets)


def worker_toml():
    return tomllib.loads(BY_KIND["ConfigMap", "airsift"]["data"]["airsift.toml"])


POD = BY_KIND["StatefulSet", "airsift"]["spec"]["template"]["spec"]
[WORKER] = POD["containers"]


def test_the_manifests_settings_exist(tmp_path):
    path = tmp_path / "airsift.toml"
    path.write_text(BY_KIND["ConfigMap", "airsift"]["data"]["airsift.toml"])
    names = {each["name"]: "airsift-0" for each in WORKER["env"]}
    loaded = config.load(path, environ=names).config
    assert loaded.kafka.transactional_id == "airsift-0"
    mounts = {m["mountPath"]: m["name"] for m in WORKER["volumeMounts"]}
    for mounted in (loaded.kafka.security.password_file, loaded.kafka.security.ca_file):
        assert str(Path(mounted).parent) in mounts
    assert "/tmp" in mounts
    assert (
        WORKER["args"][-1] == f"{next(p for p, n in mounts.items() if n == 'config')}/airsift.toml"
    )
    volumes = {v["name"]: v for v in POD["volumes"]}
    assert set(volumes) == set(mounts.values())
    for volume in volumes.values():
        if "configMap" in volume:
            assert ("ConfigMap", volume["configMap"]["name"]) in BY_KIND


def test_the_pods_catalogue_is_made_first_and_read_only():
    [first] = POD["initContainers"]
    claim = {v["name"]: v for v in POD["volumes"]}["catalogue"]["persistentVolumeClaim"]
    assert ("PersistentVolumeClaim", claim["claimName"]) in BY_KIND
    [written] = [m for m in first["volumeMounts"] if m["name"] == "catalogue"]
    [read] = [m for m in WORKER["volumeMounts"] if m["name"] == "catalogue"]
    assert read["readOnly"]
    assert not written.get("readOnly")
    assert first["args"] == ["catalogue", "create", "--catalogue", written["mountPath"]]
    assert worker_toml()["identify"]["catalogue"] == read["mountPath"]
    assert first["image"] == WORKER["image"]
    assert first["securityContext"] == WORKER["securityContext"]


def test_tracks_are_added_in_a_pod_that_is_no_worker():
    [pod] = MANIFESTS["catalogue.yaml"]
    [adder] = pod["spec"]["containers"]
    assert adder["image"] == WORKER["image"]
    assert adder["securityContext"] == WORKER["securityContext"]
    assert pod["spec"]["securityContext"] == POD["securityContext"]
    volumes = {v["name"]: v for v in pod["spec"]["volumes"]}
    claim = {v["name"]: v for v in POD["volumes"]}["catalogue"]
    assert volumes["catalogue"] == claim
    mounts = {m["name"]: m["mountPath"] for m in adder["volumeMounts"]}
    assert set(mounts) == set(volumes)
    text = (ROOT / "deploy/kubernetes/catalogue.yaml").read_text()
    [add] = re.findall(r"-- (airsift .*)", text)
    assert add.split()[1:5] == ["catalogue", "add", "--catalogue", mounts["catalogue"]]
    assert add.split()[5].startswith(mounts["music"])
    # Prometheus and the disruption budget do not take it for a worker.
    selector = BY_KIND["Service", "worker"]["spec"]["selector"]
    assert not selector.items() <= pod["metadata"]["labels"].items()


def test_what_the_headers_of_the_manifests_make_has_the_names_that_are_used():
    text = (ROOT / "deploy/kubernetes/airsift.yaml").read_text()
    [secret] = re.findall(r"create secret generic (\S+) --from-literal=(\w+)=", text)
    [used] = [v["secret"]["secretName"] for v in POD["volumes"] if "secret" in v]
    assert secret[0] == used
    assert Path(worker_toml()["kafka"]["security"]["password_file"]).name == secret[1]


def test_probes_ask_what_is_served():
    [port] = WORKER["ports"]
    assert port["containerPort"] == worker_toml()["watch"]["port"]
    paths = {}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert WORKER[probe]["httpGet"]["port"] == port["name"]
        paths[probe] = WORKER[probe]["httpGet"]["path"]
    assert paths["livenessProbe"] == "/healthz"
    assert paths["readinessProbe"] == "/readyz"
    server = (ROOT / "stream/telemetry/server.py").read_text()
    assert all(f'"{path}"' in server for path in paths.values())
    [service] = BY_KIND["Service", "worker"]["spec"]["ports"]
    assert (service["port"], service["targetPort"]) == (port["containerPort"], port["name"])


def test_pods_run_as_the_images_user_and_can_write_nowhere_else():
    [user] = [rest for word, rest in FINAL if word == "USER"]
    assert POD["securityContext"]["runAsUser"] == int(user)
    assert POD["securityContext"]["runAsNonRoot"]
    limits = WORKER["securityContext"]
    assert limits["readOnlyRootFilesystem"]
    assert not limits["allowPrivilegeEscalation"]
    assert limits["capabilities"] == {"drop": ["ALL"]}
    assert POD["terminationGracePeriodSeconds"] >= 15


def test_selectors_select_the_pods():
    labels = BY_KIND["StatefulSet", "airsift"]["spec"]["template"]["metadata"]["labels"]
    wanted = [
        BY_KIND["Service", "worker"]["spec"]["selector"],
        BY_KIND["StatefulSet", "airsift"]["spec"]["selector"]["matchLabels"],
        BY_KIND["PodDisruptionBudget", "airsift"]["spec"]["selector"]["matchLabels"],
    ]
    for selector in wanted:
        assert selector.items() <= labels.items()


def test_never_more_workers_than_partitions():
    [scaled] = MANIFESTS["keda.yaml"]
    kafka = worker_toml()["kafka"]
    assert scaled["spec"]["maxReplicaCount"] <= kafka["topics"]["partitions"]
    assert scaled["spec"]["minReplicaCount"] <= scaled["spec"]["maxReplicaCount"]
    assert scaled["spec"]["scaleTargetRef"]["name"] == "airsift"


def test_workers_are_scaled_by_what_they_have_to_read_and_not_by_committed_offsets():
    [scaled] = MANIFESTS["keda.yaml"]
    [trigger] = scaled["spec"]["triggers"]
    assert trigger["type"] == "prometheus"
    query = trigger["metadata"]["query"]
    [[metric, job]] = re.findall(r'^sum\((\w+)\{job="(\w+)"\}\)$', query)
    assert metric == "airsift_lag_messages"
    assert job == SCRAPE["scrape_configs"][0]["job_name"]
    assert float(trigger["metadata"]["threshold"]) > 0


def test_everything_is_on_loopback_unless_told_otherwise():
    loaded = config.load(environ={}).config
    assert loaded.watch.address == "127.0.0.1"
    assert loaded.watch.port == 0
    assert loaded.kafka.bootstrap_servers.startswith("127.0.0.1:")
    spec = importlib.util.find_spec("stream.kafka.embedded_broker")
    assert spec is not None
    assert "0.0.0.0" not in Path(str(spec.origin)).read_text()
