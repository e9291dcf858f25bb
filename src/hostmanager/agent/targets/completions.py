"""The one-shots that are done, as they are saved beside the targets (`target_store`).

They hold until the machine is booted: then one-shots run again. Where the state directory does not
outlive a boot, nothing else could be promised; and it is what systemd does with units of
``Type=oneshot`` and ``RemainAfterExit=yes``.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from hostmanager.util import procfs


@dataclass(frozen=True, slots=True)
class SavedCompletion:
    """A one-shot that is done; see `core.record.Completion`.

    Attributes:
        at: When (Unix time).
        agent_class: Its class: another one is another program, which has not run yet.
        fingerprint: Of the entry that it ran with.
    """

    at: float
    agent_class: str
    fingerprint: str


def write_completions(completions: Mapping[str, SavedCompletion]) -> dict[str, Any]:
    """As they stand in the file."""
    instances = {name: asdict(completion) for name, completion in completions.items()}
    return {"boot": procfs.boot_id(), "instances": instances}


def read_completions(data: Any) -> dict[str, SavedCompletion]:
    """The completions that hold: none after a boot. A malformed one is left out: it runs again."""
    if not isinstance(data, dict) or data.get("boot") != procfs.boot_id():
        return {}
    instances = data.get("instances")
    completions = {}
    for name, entry in instances.items() if isinstance(instances, dict) else ():
        try:
            at, agent_class, fingerprint = entry["at"], entry["agent_class"], entry["fingerprint"]
            completions[name] = SavedCompletion(float(at), str(agent_class), str(fingerprint))
        except (TypeError, ValueError, KeyError):
            continue
    return completions
