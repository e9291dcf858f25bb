"""The state of the alarm service, kept over its end: one file, replaced as a whole."""

import hashlib
import json
import logging
import os
import stat
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hostmanager.alerts.engine import EngineState
from hostmanager.alerts.model import (
    Subject,
    alert_from_data,
    incident_from_data,
    silence_from_data,
)
from hostmanager.alerts.outbox import Outbox
from hostmanager.util.files import read_bounded, replace_file
from hostmanager.util.names import encode_id

log = logging.getLogger(__name__)

FILE_NAME = "alerts.json"
STATE_FORMAT = 1
MAX_STATE_BYTES = 64 * 1024 * 1024


class StateDirectoryError(Exception):
    """The state directory cannot be used; the text says why, and what to do."""


def state_directory(
    option: str | None, alerts_id: str, site_path: str, environ: Mapping[str, str]
) -> Path:
    """Find or make the directory of the service, for its user alone.

    Args:
        option: The value of ``--state-dir``, or None: systemd's, else one in the home directory.
        alerts_id: The id of the service.
        site_path: The site config: several sites may use the same id.
        environ: The environment.

    Raises:
        StateDirectoryError: It cannot be made, or is not ours.
    """
    if option is not None:
        path = Path(option)
    elif environ.get("STATE_DIRECTORY"):
        path = Path(environ["STATE_DIRECTORY"].split(":")[0])
    else:
        base = Path(environ.get("XDG_STATE_HOME") or Path.home() / ".local/state")
        digest = hashlib.sha256(site_path.encode("utf-8", "surrogateescape")).hexdigest()[:8]
        path = base / "hostmanager" / f"{encode_id(alerts_id)}@{digest}"
    hint = "Name another one with --state-dir."
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = path.stat()
        if status.st_uid != os.getuid():
            raise StateDirectoryError(f"{path} belongs to another user. {hint}")
        if stat.S_IMODE(status.st_mode) & 0o077:
            raise StateDirectoryError(
                f"Users other than its owner can read {path}. {hint} Or: chmod 700 {path}"
            )
    except OSError as error:
        raise StateDirectoryError(f"{path} cannot be created: {error.strerror}. {hint}") from None
    return path


def write_state(path: Path, state: EngineState, outboxes: Mapping[str, Outbox], now: float) -> None:
    """Write the state.

    Raises:
        OSError: It cannot be written.
    """
    data = {
        "format": STATE_FORMAT,
        "at": now,
        "next_number": state.next_number,
        "alerts": [asdict(alert) for alert in state.alerts.values()],
        "incidents": [asdict(incident) for incident in state.incidents.values()],
        "silences": [asdict(silence) for silence in state.silences],
        "known_silences": list(state.known_silences.items()),
        "known_own_silences": list(state.known_own_silences.items()),
        "outboxes": {name: outbox.to_data() for name, outbox in outboxes.items()},
    }
    replace_file(str(path), json.dumps(data).encode())


def read_state(path: Path) -> tuple[EngineState, dict[str, Outbox], float]:
    """Read the state, and when it was written; nothing known: there is none, or it makes no sense.

    A file that makes no sense is renamed, and the log says so.
    """
    try:
        return _parse(json.loads(read_bounded(path, MAX_STATE_BYTES)))
    except FileNotFoundError:
        pass
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        aside = path.with_suffix(".unreadable")
        log.error(
            "%s cannot be read (%s); it is kept as %s. Receivers are notified anew of what is wrong now",
            *(path, type(error).__name__, aside),
        )
        path.replace(aside)
    return EngineState(), {}, 0.0


def _parse(data: Any) -> tuple[EngineState, dict[str, Outbox], float]:
    if data["format"] != STATE_FORMAT:
        raise ValueError("of another version")
    alerts = [alert_from_data(each) for each in data["alerts"]]
    incidents = [incident_from_data(each) for each in data["incidents"]]
    state = EngineState(
        {alert.finding.subject: alert for alert in alerts},
        {incident.number: incident for incident in incidents},
        [silence_from_data(each) for each in data["silences"]],
        {Subject(*subject): text for subject, text in data["known_silences"]},
        {Subject(*subject): text for subject, text in data["known_own_silences"]},
        data["next_number"],
    )
    for alert in alerts:
        if alert.firing and alert.incident not in state.incidents:
            raise ValueError("an alert without its incident")
    outboxes = {name: Outbox.from_data(each) for name, each in data["outboxes"].items()}
    return state, outboxes, float(data["at"])
