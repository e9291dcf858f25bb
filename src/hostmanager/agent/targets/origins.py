"""Who set a target, and why, as the file of `TargetStore` holds it.

One request may name thousands of instances: they stand together, so that the file stays small
and can be read by people. What is not readable is left out: the targets themselves count.
"""

import math
from collections.abc import Mapping
from typing import Any

from hostmanager.core.request_origin import RequestOrigin, validate_origin
from hostmanager.core.requests import RequestError


def write_origins(origins: Mapping[str, RequestOrigin]) -> list[dict[str, Any]]:
    """The origins, each with the instances that it concerns."""
    instances: dict[RequestOrigin, list[str]] = {}
    for instance_id, origin in origins.items():
        instances.setdefault(origin, []).append(instance_id)
    return [
        {
            "at": origin.at,
            "requested_by": origin.requested_by,
            "level": origin.level,
            "reason": origin.reason,
            "instances": ids,
        }
        for origin, ids in instances.items()
    ]


def read_origins(data: Any) -> dict[str, RequestOrigin]:
    """The origins by instance-id; somebody may have edited the file."""
    origins: dict[str, RequestOrigin] = {}
    for entry in data if isinstance(data, list) else ():
        if not isinstance(entry, dict) or not isinstance(entry.get("instances"), list):
            continue
        try:
            requested_by, reason = validate_origin(entry)
        except RequestError:
            continue
        origin = RequestOrigin(
            requested_by, reason, _number(entry.get("level"), int), _number(entry.get("at"), float)
        )
        origins |= {str(instance_id): origin for instance_id in entry["instances"]}
    return origins


def _number(value: Any, kind: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return kind(value) if math.isfinite(value) else None
    except OverflowError:
        return None
