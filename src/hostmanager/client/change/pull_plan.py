"""What `pull` will pull on each host, as far as its manager says."""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hostmanager.client.change.plan_text import REFUSED, PlanLine
from hostmanager.client.change.prepared import PreparedChange
from hostmanager.client.change.stops import list_hosts
from hostmanager.client.change.tasks import tasks_at_managers
from hostmanager.client.errors import ManagerError, split_results
from hostmanager.client.managers.multi_host import select_managers
from hostmanager.client.managers.task_progress import MessageReader, run_and_stream
from hostmanager.client.site_model import Site

_SITE_CONFIG = "[SCF]"
"""Key of the site config in `config_parse_status`, among the compose files (contract, section 5)."""


@dataclass(frozen=True, slots=True)
class HostPull:
    """What is pulled on one host.

    Attributes:
        host: The host.
        files: The compose files whose images are pulled.
        images: The image of each service, by instance-id, where it is known.
        missing: Instance-ids of those whose image is not on the host.
    """

    host: str
    files: tuple[str, ...] = ()
    images: Mapping[str, str] = field(default_factory=dict)
    missing: frozenset[str] = frozenset()

    def lines(self) -> list[PlanLine]:
        """The same for people."""
        if not self.files:
            return [PlanLine(f"{self.host}: no compose files, so there is nothing to pull")]
        images = [
            f"  {instance_id}: {image}"
            + (" (not on this host yet)" if instance_id in self.missing else "")
            for instance_id, image in self.images.items()
        ]
        head = f"{self.host}: would pull the images of {', '.join(self.files)}"
        return [PlanLine(text) for text in (head, *images)]

    def as_json(self) -> dict[str, Any]:
        """As programs get it."""
        return {
            "host": self.host,
            "compose_files": list(self.files),
            "images": dict(self.images),
            "missing": sorted(self.missing),
        }


def plan_pull(sessions: Mapping[str, Mapping[str, Any] | ManagerError]) -> list[HostPull]:
    """List what each manager would pull; hosts whose manager does not answer are left out."""
    answers, _ = split_results(sessions)
    return [_host_pull(host, session.get("data") or {}) for host, session in answers.items()]


def _host_pull(host: str, data: Mapping[str, Any]) -> HostPull:
    files = tuple(name for name in data.get("config_parse_status") or {} if name != _SITE_CONFIG)
    missing = {str(name): str(image) for name, image in (data.get("new_tags") or {}).items()}
    images = {
        str(child["instance_id"]): str(child["container"]["image"])
        for child in data.get("child_states") or []
        if (child.get("container") or {}).get("image")
    }
    return HostPull(host, files, images | missing, frozenset(missing))


def prepare_pull(site: Site, args: argparse.Namespace) -> PreparedChange:
    """Ask the managers what they would pull."""
    targets = select_managers(site, args)
    sessions = targets.fetch_sessions(args.answer_time)
    _, errors = split_results(sessions)
    plans = plan_pull(sessions)
    hosts = [plan.host for plan in plans if plan.files]
    shown = [plan for plan in plans if plan.files] or plans
    refused = [PlanLine(f"! {host}: {error}", REFUSED) for host, error in errors.items()]
    return PreparedChange(
        "pull",
        f"pull images on {list_hosts(hosts)}" if hosts else "nothing to pull: no compose files",
        [*(line for plan in shown for line in plan.lines()), *refused],
        hosts=hosts,
        start=tasks_at_managers(
            targets,
            hosts,
            lambda manager, show: run_and_stream(
                manager, "docker_pull", args.timeout, args.answer_time, MessageReader(show)
            ),
            args,
            errors=errors,
            going_on=f"The managers of {list_hosts(hosts)} go on pulling.",
        ),
        errors=errors,
        content={"plan": [plan.as_json() for plan in plans]},
    )
