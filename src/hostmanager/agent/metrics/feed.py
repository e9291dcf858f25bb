"""The feed ``agents``: what can be plotted of each agent, for OCS's aggregator and InfluxDB.

A sample is published when the state, target, health or restarts of an agent change, and of all
once a minute. The rules of OCS's feeds decide the form:

- All fields of a block are there in every sample, and never change their type. What is not known
  at once (CPU and memory, from the second sample of a run on) is a block of its own.
- A field's name is unique in its feed, and has only letters, digits and underscores. So it has the
  instance-id in it (`field_name`), in a form from which it can be read again.
- For InfluxDB, `influxdb_tags` give the same as the tags ``host`` and ``agent`` and a short field.
"""

import math
import os
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Any

from hostmanager.agent.metrics.codes import HEALTH_CODES, STATE_CODES, TARGET_CODES
from hostmanager.agent.monitoring.health_monitor import HealthChange
from hostmanager.agent.monitoring.off_target import is_at_target
from hostmanager.agent.monitoring.resource_usage import Usage
from hostmanager.agent.parts import ManagerParts
from hostmanager.core.events import Timestamp
from hostmanager.core.health import Health
from hostmanager.core.policy import stability
from hostmanager.core.protocols import Timer, guard_of
from hostmanager.core.record import InstanceRecord, State

FEED_NAME = "agents"

FEED_INTERVAL = 60.0
"""Seconds between two samples of all agents."""

GATHERING = 0.25
"""Seconds between two messages at least. The first change after a quiet time is published at once:
who watches the site waits for it. What follows is gathered."""

MAX_GATHERED = 50
"""Changes of one agent that are gathered; of more, the latest."""

MAX_BLOCKS = 50
"""Blocks in one message."""

MAX_FIELD_CHARS = 255

MAX_CACHED = 4096
"""Instances; a host has fewer."""

Number = int | float
FeedBlock = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a block.

    Attributes:
        name: Its name, in InfluxDB; letters only for agents.
        type: Its type, which it keeps.
        help: What it says.
    """

    name: str
    type: type[int] | type[float]
    help: str


AGENT_FIELDS = (
    Field("state", int, "the state, see the table of codes"),
    Field("target", int, "the target: 0 down, 1 up, 2 passive"),
    Field("health", int, "the health, see the table of codes"),
    Field("restarts", int, "restarts after failures since the manager started"),
    Field("uptime", float, "seconds since the start of the present run; 0: none runs"),
    Field("stability", float, "from 0 (it has just failed) to 1 (not within two minutes)"),
)

USAGE_FIELDS = (
    Field("cpu", float, "cores that all its processes used on average in the last 30 s"),
    Field("memory", int, "resident memory of all its processes, bytes"),
    Field("processes", int, "its processes"),
    Field("threads", int, "threads of all its processes"),
)

HOST_FIELDS = (
    Field("host_agents", int, "agents of this host"),
    Field("host_up", int, "those that are up"),
    Field("host_off_target", int, "those that are not at their target"),
    Field("host_restarts", int, "restarts after failures of all of them"),
    Field("host_load", float, "load average of the last minute"),
    Field("host_manager_cpu", float, "CPU seconds of the manager since it started"),
)


@lru_cache(MAX_CACHED)  # each is needed eleven times a minute
def encode_field_id(instance_id: str) -> str:
    """Write an id with letters, digits and underscores.

    ``-`` becomes two underscores, any other byte ``_`` and two hexadecimal digits.
    """
    data = instance_id.encode("utf-8", "surrogatepass")
    plain = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    return "".join(
        chr(byte) if byte in plain else "__" if byte == ord("-") else f"_{byte:02x}"
        for byte in data
    )


def field_name(instance_id: str, field: str) -> str:
    """The name of an agent's field in the feed: ``agent_fake__data1_state``.

    One that would be longer than OCS allows has a digest in place of the end of its id.
    """
    name = f"agent_{encode_field_id(instance_id)}_{field}"
    if len(name) <= MAX_FIELD_CHARS:
        return name
    digest = sha256(instance_id.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    kept = MAX_FIELD_CHARS - len(f"agent__x_{digest}_{field}")
    return f"agent_{encode_field_id(instance_id)[:kept]}_x_{digest}_{field}"


@lru_cache(MAX_CACHED)
def tag_value(instance_id: str) -> str:
    """An id as a tag: OCS writes tags into InfluxDB's line protocol as they are."""
    return re.sub(r"[%,=\\\s]", lambda m: "".join(f"%{b:02X}" for b in m[0].encode()), instance_id)


def agent_sample(record: InstanceRecord, health: Health | None, now: Timestamp) -> list[Number]:
    """The values of `AGENT_FIELDS`."""
    run = record.run
    runs = run.pid is not None and run.started_at is not None
    started = run.started_at.monotonic if runs and run.started_at else now.monotonic
    return [
        STATE_CODES[record.state],
        TARGET_CODES[record.target],
        HEALTH_CODES[health or Health.UNKNOWN],
        record.failures.restarts,
        max(0.0, now.monotonic - started),
        float(stability(record.failures.exit_times, now.monotonic)),
    ]


def usage_sample(usage: Usage) -> list[Number]:
    """The values of `USAGE_FIELDS`."""
    return [float(usage.cpu or 0.0), usage.memory, usage.processes, usage.threads]


def host_sample(records: Mapping[str, InstanceRecord]) -> list[Number]:
    """The values of `HOST_FIELDS`."""
    values = records.values()
    return [
        len(records),
        sum(record.state is State.UP for record in values),
        sum(not is_at_target(record) for record in values),
        sum(record.failures.restarts for record in values),
        float(os.getloadavg()[0]),
        time.process_time(),
    ]


def make_block(
    block: str,
    fields: Iterable[Field],
    samples: list[tuple[float, list[Number]]],
    host: str,
    instance_id: str | None = None,
) -> FeedBlock:
    """A block with samples: times, and the values of its fields."""
    data, tags = {}, {}
    for number, field in enumerate(fields):
        name = field.name if instance_id is None else field_name(instance_id, field.name)
        data[name] = [values[number] for _, values in samples]
        tags[name] = {"_field": field.name, "host": tag_value(host)}
        if instance_id is not None:
            tags[name]["agent"] = tag_value(instance_id)
    times = [at for at, _ in samples]
    return {"block_name": block, "timestamps": times, "data": data, "influxdb_tags": tags}


def start_feed(agent: Any, parts: ManagerParts) -> "FeedPublisher":
    """Publish samples in a feed of an agent of OCS from now on."""
    feed = agent.register_feed(FEED_NAME, record=True, buffer_time=math.inf)

    def publish(blocks: list[FeedBlock]) -> None:
        for block in blocks:  # it only gathers them: its buffer is never old enough
            feed.publish_message(block)
        feed.flush_buffer()

    publisher = FeedPublisher(parts, publish, lambda: bool(agent.realm_joined))
    publisher.start()
    return publisher


class FeedPublisher:
    """Publishes samples of the agents of a host.

    Args:
        parts: What is known of the host.
        publish: Publishes blocks as one message.
        is_connected: Whether there is a router; without one, samples are left out.
    """

    def __init__(
        self,
        parts: ManagerParts,
        publish: Callable[[list[FeedBlock]], None],
        is_connected: Callable[[], bool],
    ) -> None:
        self._parts, self._publish, self._is_connected = parts, publish, is_connected
        self._name = parts.settings.host
        self._guard = guard_of(parts.clock)
        self._keys: dict[str, list[Number]] = {}
        self._gathered: dict[str, list[tuple[float, list[Number]]]] = {}
        self._last_time = 0.0
        self._flush_timer: Timer | None = None
        self._flushed_at = -math.inf
        self._minute_timer: Timer | None = None

    def start(self) -> None:
        """Publish from now on."""
        self._parts.snapshot.subscribe(self._on_record)
        self._parts.health.listeners.append(self._on_health)
        self.publish_all()

    def publish_all(self) -> None:
        """Publish a sample of everything, now and every `FEED_INTERVAL` seconds."""
        if self._minute_timer is not None:
            self._minute_timer.cancel()
        at = self._parts.clock.now().monotonic + FEED_INTERVAL
        callback = self._guard.callback("the feed", self.publish_all)
        self._minute_timer = self._parts.clock.call_at(at, callback)
        if not self._is_connected():
            return
        for instance_id in self._parts.snapshot:
            self._gather(instance_id)
        self._flush([self._host_block(), *self._usage_blocks()])

    # --- changes ----------------------------------------------------------------------------------

    def _on_record(self, instance_id: str, record: InstanceRecord | None) -> None:
        if record is None:
            self._keys.pop(instance_id, None)
        elif self._is_connected():
            self._gather(instance_id, only_changes=True)

    def _on_health(self, change: HealthChange) -> None:
        if change.instance_id in self._parts.snapshot and self._is_connected():
            self._gather(change.instance_id, only_changes=True)

    def _gather(self, instance_id: str, *, only_changes: bool = False) -> None:
        parts, now = self._parts, self._parts.clock.now()
        values = agent_sample(parts.snapshot[instance_id], parts.health.health(instance_id), now)
        key = values[:4]
        if only_changes and key == self._keys.get(instance_id):
            return
        self._keys[instance_id] = key
        # Two points of one time would be one in InfluxDB.
        self._last_time = max(now.wall, self._last_time + 1e-5)
        samples = self._gathered.setdefault(instance_id, [])
        samples.append((self._last_time, values))
        del samples[:-MAX_GATHERED]
        if self._flush_timer is None:
            callback = self._guard.callback("the feed", self._flush)
            at = max(now.monotonic, self._flushed_at + GATHERING)
            self._flush_timer = parts.clock.call_at(at, callback)

    # --- publishing -------------------------------------------------------------------------------

    def _flush(self, others: Iterable[FeedBlock] = ()) -> None:
        if self._flush_timer is not None:
            self._flush_timer.cancel()
            self._flush_timer = None
        self._flushed_at = self._parts.clock.now().monotonic
        gathered, self._gathered = self._gathered, {}
        if not self._is_connected():
            return
        blocks = [*others]
        for instance_id, samples in gathered.items():
            block = f"agent_{encode_field_id(instance_id)}"
            blocks.append(make_block(block, AGENT_FIELDS, samples, self._name, instance_id))
        for n in range(0, len(blocks), MAX_BLOCKS):
            self._publish(blocks[n : n + MAX_BLOCKS])

    def _host_block(self) -> FeedBlock:
        values = host_sample(self._parts.snapshot)
        return make_block("host", HOST_FIELDS, [(self._parts.clock.now().wall, values)], self._name)

    def _usage_blocks(self) -> Iterable[FeedBlock]:
        for instance_id in self._parts.snapshot:
            usage = self._parts.resources.usage(instance_id)
            if usage is not None and usage.cpu is not None:
                block = f"usage_{encode_field_id(instance_id)}"
                samples = [(usage.time, usage_sample(usage))]
                yield make_block(block, USAGE_FIELDS, samples, self._name, instance_id)
