"""OCS's access control, as far as the manager has to know of it (contract, section 7).

OCS decides who has which level: by the policy of the site (``access_policy`` in the hub, or
``--access-policy``) and the password that a client sends. It refuses what is below the level
of an operation. Here is what goes around that: a refusal says what would be needed. (A policy
that makes no sense is found before anything is started, in `options`.)
"""

import logging
from typing import Any

from ocs import access

log = logging.getLogger(__name__)

READ_LEVEL = 1
"""Level for what changes nothing: what happened, what an agent printed."""


def default_rules(agent: Any) -> access.AgentAccessRules:
    """The rules of a site that has no policy: every client has level 1.

    OCS's own would give the agent's calls to itself that level, too, and with ``--min-privs``
    the manager could neither start nor stop its process.
    """
    everybody = access.AccessRule(access.HashedPass.create_free(), access.CredLevel.BASIC)
    us = access.AgentSpec(agent.instance_id, agent.class_name, superuser_key=agent)
    return access.AgentAccessRules(policy="override", agent=us, rules=[everybody])


def normalize_password(given: Any, agent: Any) -> Any:
    """The password of a client as OCS wants it: text, also where a file has a number."""
    if given is None or given is agent or isinstance(given, str):
        return given
    return str(given)


def denial_reason(agent: Any, operation: str, password: Any) -> str | None:
    """Say why a client may not start, stop or abort an operation; None: it may.

    Args:
        agent: OCS's agent, with its rules and operations.
        operation: Its name; one that there is not is for OCS to answer.
        password: What the client sent, or the agent itself.
    """
    found = agent.tasks.get(operation) or agent.processes.get(operation)
    if found is None:
        return None
    config = agent.access_config
    context = access.ActionContext(op_name=operation)
    try:
        level, detail = access.agent_get_creds(password, config, config.agent, context)
    except (KeyError, TypeError, AttributeError) as error:
        log.warning("the rules from the access director make no sense: %r", error)
        level, detail = access.CredLevel.BLOCKED, "The access director's rules make no sense."
    if level >= found.min_privs:
        return None
    log.debug("refused: %s, level %d", operation, level)
    needs = f"'{operation}' needs credential level {found.min_privs}; this client has {level}."
    return " ".join(filter(None, (needs, _remedy(agent, found.min_privs), detail)))


def _remedy(agent: Any, needed: int) -> str:
    config = agent.access_config
    if agent.access_data["policy"] == "none":
        return (
            "The site has no access policy, so that every client has level 1: whoever runs the "
            "manager has to set access_policy in the site config, or to leave out --min-privs."
        )
    if config.policy == "director" and not agent.access_data["update_count"]:
        return (
            f"No rules have come from the access director '{config.director_id}' yet, and until "
            "then nobody is let in: does it run?"
        )
    level = max(2, int(needed))
    return (
        f"Give a password: OCSClient('{agent.instance_id}', privs={level}) takes one from "
        "~/.ocs-passwords.yaml (or $OCS_PASSWORDS_FILE); privs='...' is the password itself."
    )
