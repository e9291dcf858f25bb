"""Compose services among the instances of a host: which rows there are, and what each is.

The site file says which services are managed, the compose files which there are. Whenever
either changes, `follow` brings the rows in line: entries gain or lose their service, services
without an entry come and go as rows that are only watched.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from hostmanager.agent.wanted import Recalled
from hostmanager.core.life import Life
from hostmanager.core.model import InstanceSpec, Kind, ServiceRef, Target

if TYPE_CHECKING:
    from hostmanager.agent.host import Host


class ServiceRows:
    """Keeps the rows of compose services of a host.

    Attributes:
        not_ended: What could not be ended when the manager ended, by id, and why.
    """

    def __init__(self, host: "Host") -> None:
        self._host = host
        self._recalled = Recalled()
        self._asleep: dict[str, InstanceSpec] = {}
        self.not_ended: dict[str, str] = {}
        self._busy = False
        host.dockers.changed = self.follow
        host.snapshot.listen(self._noticed)

    # --- beginning and ending ---------------------------------------------------------------

    def begin(self, recalled: Recalled) -> None:
        """The manager begins: what was watched before is looked at anew.

        Args:
            recalled: What operators had said before an unclean end.
        """
        self._recalled = recalled
        self._asleep.clear()
        self.not_ended.clear()
        for instance_id, spec in self._host.supervisor.known().items():
            if spec.passive:
                self._host.supervisor.drop(instance_id)

    def sleep(self) -> None:
        """The manager has ended: containers that others start from now on are their business."""
        supervisor = self._host.supervisor
        snapshot = self._host.snapshot
        listed = supervisor.listed().items()
        self._asleep |= {i: spec for i, spec in listed if spec.kind is Kind.DOCKER}
        for instance_id in snapshot.hopeless:
            if snapshot[instance_id].spec.kind is Kind.DOCKER:
                self.not_ended[instance_id] = str(snapshot[instance_id].trouble)
        for instance_id, life in list(snapshot.items()):
            if life.spec.kind is Kind.DOCKER:
                supervisor.drop(instance_id)

    def known(self) -> dict[str, InstanceSpec]:
        """The instances with an entry, also while the manager does not run."""
        return {**self._host.supervisor.listed(), **self._asleep}

    # --- what each is -----------------------------------------------------------------------

    def spec(self, entry: InstanceSpec) -> InstanceSpec:
        """Put what the compose files say into an entry."""
        return self._host.dockers.services.spec(_bare(entry))

    def passive(self, entries: Iterable[InstanceSpec]) -> dict[str, InstanceSpec]:
        """The services that belong to none of these entries."""
        return self._host.dockers.services.passive(entries)

    def update(self, spec: InstanceSpec) -> None:
        """The entry of an instance says something else, or its service does."""
        supervisor = self._host.supervisor
        life = self._host.snapshot[spec.instance_id]
        if _moved(life.spec.service, spec.service):
            # Another container, then; the one that runs has to go first.
            supervisor.replace(spec, life.target)
            return
        supervisor.update(spec)
        if spec.kind is Kind.DOCKER and spec.service is not None:
            self._host.dockers.attend_anew(spec)

    def follow(self) -> None:
        """Bring the rows in line with the site file and the compose files, as last read."""
        if self._busy or not self._host.running:
            return
        self._busy = True
        try:
            self._follow_listed()
            self._follow_passive()
        finally:
            self._busy = False

    def _follow_listed(self) -> None:
        for entry in self._host.supervisor.listed().values():
            if entry.kind is Kind.DOCKER and (spec := self.spec(entry)) != entry:
                self.update(spec)

    def _follow_passive(self) -> None:
        host, supervisor = self._host, self._host.supervisor
        wanted = self.passive(supervisor.listed().values())
        known = {i: spec for i, spec in supervisor.known().items() if spec.passive}
        for instance_id in known.keys() - wanted.keys():
            supervisor.drop(instance_id)
            host.wanted.drop(instance_id)
        for instance_id, spec in wanted.items():
            if instance_id not in host.snapshot:
                supervisor.add(spec, self._recalled.targets.get(instance_id))
            elif instance_id not in known:
                pass  # a retired one of that name has to end first; then we are told
            elif _moved(known[instance_id].service, spec.service):
                supervisor.drop(instance_id)
                supervisor.add(spec)
            elif spec != known[instance_id]:
                self.update(spec)
        if host.dockers.services.read:
            self._recalled = Recalled()

    def _noticed(self, instance_id: str, life: Life | None) -> None:
        if life is None:
            self.follow()
        elif life.spec.passive and life.target is Target.PASSIVE:
            self._host.wanted.drop(instance_id)  # done: it is not to be told again


def _bare(entry: InstanceSpec) -> InstanceSpec:
    """An entry as the site file has it, without what was added."""
    if entry.kind is not Kind.DOCKER:
        return entry
    return replace(entry, service=None, fingerprint="", stop_grace=None, obstacle=None)


def _moved(before: ServiceRef | None, now: ServiceRef | None) -> bool:
    if before is None or now is None:
        return False
    return (before.project, before.name) != (now.project, now.name)
