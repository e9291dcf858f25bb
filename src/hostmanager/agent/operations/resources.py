"""The operation `resources`: what agents used of the host in the last hour."""

from typing import Any

from hostmanager.agent.host import Host
from hostmanager.agent.resource_usage import COLUMNS, INTERVAL
from hostmanager.util.text import quote_value


def run_resources(host: Host, session: Any, instance_id: Any) -> tuple[bool, str]:
    """Put the samples of one instance, or of all, into the session's data."""
    if instance_id is not None and instance_id not in list(host.snapshot):
        return False, f"{quote_value(instance_id)} is not an instance of this host."
    ids = list(host.snapshot) if instance_id is None else [instance_id]
    samples = host.resources.samples(ids)
    session.data = {"columns": list(COLUMNS), "interval": INTERVAL, "samples": samples}
    return True, f"{sum(map(len, samples.values()))} samples."
