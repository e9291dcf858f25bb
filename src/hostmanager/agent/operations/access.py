"""OCS's access control, as far as the manager has to know of it (contract, section 7).

OCS decides who has which level: by the policy of the site (``access_policy`` in the hub, or
``--access-policy``) and the password that a client sends. It refuses what is below the level
of an operation. A refusal here also says what would be needed. (A policy that makes no sense is
refused before anything is started, in `options`.)
"""

import logging
from typing import Any

from ocs import access

log = logging.getLogger(__name__)

READ_LEVEL = 1
"""Level for what changes nothing: the history, the output of agents."""


def default_rules(agent: Any) -> access.AgentAccessRules:
    """The rules of a site that has no policy: every client has level 1.

    OCS's own would give the agent's calls to itself that level, too, and with ``--min-privs``
    the manager could neither start nor stop its process.
    """
    everybody = access.AccessRule(access.HashedPass.create_free(), access.CredLevel.BASIC)
    itself = access.AgentSpec(agent.instance_id, agent.class_name, superuser_key=agent)
    return access.AgentAccessRules(policy="override", agent=itself, rules=[everybody])


def authorize(agent: Any, operation: str, password: Any) -> tuple[int, str | None]:
    """Check whether a client may start, stop or abort an operation.

    Args:
        agent: OCS's agent, with its rules and operations.
        operation: Its name; OCS replies to an unknown one.
        password: What the client sent. A number is taken as text: a password file may have one.

    Returns:
        The client's credential level; why it may not, or None.
    """
    definition = agent.tasks.get(operation) or agent.processes.get(operation)
    if definition is None:
        return 0, None
    if password is not None and not isinstance(password, str):
        password = str(password)
    config = agent.access_config
    context = access.ActionContext(op_name=operation)
    try:
        level, detail = access.agent_get_creds(password, config, config.agent, context)
    except (KeyError, TypeError, AttributeError) as error:
        log.warning("the rules from the access director make no sense: %r", error)
        level, detail = access.CredLevel.BLOCKED, "The access director's rules make no sense."
    if level >= definition.min_privs:
        return level.value, None
    log.debug("refused: %s, level %d", operation, level)
    needs = f"'{operation}' needs credential level {definition.min_privs}; this client has {level}."
    hint = _hint(agent, definition.min_privs)
    return level.value, " ".join(filter(None, (needs, hint, detail)))


def _hint(agent: Any, needed: int) -> str:
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
