"""Who is in a group: either driver, fixed members, and programs that are not airsift."""

from __future__ import annotations

import subprocess
import time

import pytest
from kafka import KafkaAdminClient
from kafka.consumer.subscription_state import ConsumerRebalanceListener
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from kafka.errors import CoordinatorNotAvailableError

from stream.kafka.apache_broker import ApacheKafka
from stream.kafka.client.connect import connect_consumer, ensure_topics
from stream.kafka.settings import KafkaSettings
from tests.integration.live import Decisions, OnAir
from tests.integration.road import AIRSIFT, DRIVERS, end, make_environment
from tests.waiting import wait_until

pytestmark = [pytest.mark.kafka, pytest.mark.long]

PARTITIONS = 4
STATIONS = [f"station {n}" for n in range(8)]
OTHER = {"run": "worker", "worker": "run"}


@pytest.fixture
def group(need_kafka):
    with ApacheKafka() as broker:
        group = Group(broker)
        with OnAir(group.settings, STATIONS):
            yield group
        group.end()


class Group:
    """Members of one group, and what they have published."""

    def __init__(self, broker):
        self.settings = KafkaSettings.default(bootstrap_servers=broker.bootstrap_servers)
        self.environment = make_environment(broker, PARTITIONS) | {"OMP_NUM_THREADS": "1"}
        self.topics = self.settings.topics.model_copy(update={"partitions": PARTITIONS})
        names = [self.topics.audio, self.topics.dead_letters, *self.topics.events.values()]
        ensure_topics(self.settings.model_copy(update={"topics": self.topics}), names)
        self.admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)
        self.processes = []
        self.decisions = Decisions(self.settings, STATIONS, PARTITIONS)

    def begin(self, driver, **settings):
        overrides = {f"AIRSIFT_KAFKA__{key.upper()}": value for key, value in settings.items()}
        process = subprocess.Popen(
            [*AIRSIFT, *DRIVERS[driver]],
            env=self.environment | overrides,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        return process

    def members(self):
        """Return the partitions of each member, by its instance's name."""
        try:
            described = self.admin.describe_groups([self.settings.group])[self.settings.group]
        except CoordinatorNotAvailableError:  # a new cluster makes the topic of its groups
            return {}
        return {
            member["group_instance_id"] or member["member_id"]: partitions_of(member)
            for member in described["members"]
        }

    def wait_for_members(self, count):
        deadline = time.monotonic() + 60
        while len(members := self.members()) != count or not all(members.values()):
            assert time.monotonic() < deadline, members
            time.sleep(0.3)
        return members

    def end(self):
        for process in self.processes:
            if process.returncode is None:
                end(process)
        self.decisions.close()
        self.admin.close()


def partitions_of(member):
    assigned = member["member_assignment"]
    topics = assigned["assigned_partitions"] if assigned else []
    return sorted(p for topic in topics for p in topic["partitions"])


@pytest.mark.parametrize("first", DRIVERS)
def test_members_of_either_driver_share_a_group(first, group):
    one = group.begin(first)
    group.decisions.read_until(time.time())
    group.begin(OTHER[first])
    group.wait_for_members(2)
    group.decisions.read_until(time.time() + 3)
    assert end(one) == 0
    group.decisions.read_until(time.time() + 3)
    group.decisions.check()


@pytest.mark.parametrize("first", DRIVERS)
def test_a_driver_goes_on_where_one_of_the_other_kind_was_killed(first, group):
    one = group.begin(first)
    group.decisions.read_until(time.time())
    one.kill()
    one.communicate()
    two = group.begin(OTHER[first])  # before the session of the first is over
    group.decisions.read_until(time.time() + 3)
    assert two.poll() is None
    group.decisions.check()


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_rolling_restart_of_fixed_members_moves_no_partition(driver, group):
    long = {"session_timeout_s": "45"}
    running = {name: group.begin(driver, instance_id=name, **long) for name in ("w-0", "w-1")}
    before = group.wait_for_members(2)
    group.decisions.read_until(time.time())
    for name in running:
        assert end(running[name]) == 0
        assert group.members() == before
        running[name] = group.begin(driver, instance_id=name, **long)
        group.decisions.read_until(time.time() + 1)
        assert group.members() == before
    group.decisions.check()


@pytest.mark.parametrize("driver", DRIVERS)
def test_two_workers_of_one_name_are_reported(driver, group):
    workers = [group.begin(driver, instance_id="w-0") for _ in range(2)]
    wait_until(lambda: any(worker.poll() is not None for worker in workers))
    ended = next(worker for worker in workers if worker.returncode is not None)
    printed = ended.communicate()[1]
    assert ended.returncode == 1
    assert printed.splitlines()[-1].startswith("airsift: another worker of kafka.group='airsift'")
    assert "kafka.instance_id='w-0'" in printed


class Ignore(ConsumerRebalanceListener):
    def on_partitions_revoked(self, revoked):
        pass

    def on_partitions_assigned(self, assigned):
        pass


@pytest.mark.parametrize(
    ("driver", "rules"), [("run", StickyPartitionAssignor), ("worker", RangePartitionAssignor)]
)
def test_a_program_that_is_not_airsift_is_reported(driver, rules, group):
    settings = group.settings.model_copy(update={"session_timeout_s": 6.0})
    other = connect_consumer(
        settings, group_id=settings.group, partition_assignment_strategy=[rules]
    )
    other.subscribe([group.topics.audio], listener=Ignore())
    while not other.assignment():
        other.poll(timeout_ms=500)
    process = group.begin(driver)
    deadline = time.monotonic() + 90
    while process.poll() is None:
        assert time.monotonic() < deadline
        other.poll(timeout_ms=200)
    other.close()
    line = process.communicate()[1].splitlines()[-1]
    assert process.returncode == 1
    assert line.startswith("airsift: kafka.group='airsift' has members that share its partitions")
    assert "this passes 6 s later" in line
