"""The command line of the manager (contract, section 2): its own options, and what they may be.

The site options come from `ocs.site_config.add_arguments`.
"""

import argparse
import os
from pathlib import Path

from hostmanager.core.policy import CpuBudget, Policy, RestartPolicy, StopPolicy
from hostmanager.util.help_parser import HelpParser
from hostmanager.util.network.listen_address import ListenAddress, parse_listen_address

RUN_DESCRIPTION = """\
Keep the agents of this host in the state that their operators want.

Reads the site config file, starts the agents that it lists for this host,
relaunches those that die, and takes commands over the router (operations
`manager`, `update`, `die`; see `ocsbow --help` for a client). It works without
a router, too, and registers as soon as there is one."""

RUN_EPILOG = """\
signals:
  SIGTERM, SIGINT   stop all agents, then exit; once more: escalate
  SIGHUP            read the site config file again

exit status:
  0  all agents were ended        2  usage or configuration error
  1  something could not be ended, or the manager failed

environment:
  OCS_CONFIG_DIR, INSTANCE_ID, SITE_HOST, SITE_HUB, SITE_HTTP, CROSSBAR_TIMEOUT
                    defaults, as for ocs-agent-cli
  LOGLEVEL          debug, info (default), warn, error

examples:
  hostmanager run --site-file /etc/ocs/site.yaml --site-host daq1 --instance-id hm-daq1
      the agents of host daq1
"""


def make_manager_parser(prog: str | None = None) -> HelpParser:
    """Make the parser of the manager's own options."""
    parser = HelpParser(prog=prog, description=RUN_DESCRIPTION, epilog=RUN_EPILOG)
    group = parser.add_argument_group("host manager options")
    group.add_argument(
        "--initial-state",
        choices=["up", "down"],
        help="force a single target state for all agents, on start-up",
    )
    group.add_argument(
        "--docker-compose",
        metavar="FILES",
        help="comma-separated compose files to parse and manage",
    )
    group.add_argument(
        "--docker-service-prefix",
        metavar="P",
        default="ocs-",
        help="the compose service P + instance-id belongs to that instance; may be empty "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--docker-compose-bin",
        metavar="PATH",
        help="compose binary, relative to the working directory; default: the `docker compose` "
        "plugin, else `docker-compose`, as found on the PATH",
    )
    group.add_argument("--quiet", action="store_true", help="print nothing")
    group.add_argument(
        "--stop-timeout",
        type=_seconds,
        metavar="SECONDS",
        default=StopPolicy().interrupt,
        help="how long an agent may take to stop on SIGINT before its process group gets SIGTERM; "
        "5 s later it gets SIGKILL (default: %(default)s)",
    )
    group.add_argument(
        "--restart-delay-max",
        type=_seconds,
        metavar="SECONDS",
        default=RestartPolicy().max_delay,
        help="longest delay between the relaunches of an agent that keeps dying "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--output-size",
        type=_mebibytes,
        metavar="MIB",
        default=_mebibytes("10"),
        help="an agent's output file is rotated when it has this size, MiB (default: 10)",
    )
    group.add_argument(
        "--output-files",
        type=_count,
        metavar="N",
        default=5,
        help="rotated files that are kept for each agent, compressed (default: %(default)s)",
    )
    group.add_argument(
        "--warm-launch",
        choices=["auto", "off"],
        default="auto",
        help="auto: fork agents from a process that has imported OCS already, where that works and "
        "there are three or more; a launch then takes a tenth of the CPU (default: %(default)s)",
    )
    group.add_argument(
        "--min-privs",
        type=int,
        choices=[1, 2, 3],
        default=1,
        help="credential level that a client needs to change anything; needs an access policy "
        "(default: %(default)s, every client)",
    )
    group.add_argument(
        "--metrics",
        type=_metrics_address,
        metavar="[HOST:]PORT",
        help="serve metrics for Prometheus there, at 127.0.0.1 unless another HOST is named; anyone "
        "who reaches the port can read them (default: none)",
    )
    group.add_argument(
        "--state-dir",
        metavar="DIR",
        help="directory for what the manager keeps (created, 0700); default: a directory for this "
        "instance under $STATE_DIRECTORY, $RUNTIME_DIRECTORY or $XDG_RUNTIME_DIR, else under "
        "/tmp",
    )
    return parser


def _number(text: str, unit: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of {unit}") from None


def _seconds(text: str) -> float:
    value = _number(text, "seconds")
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} must be more than 0 seconds")
    return value


def _mebibytes(text: str) -> int:
    value = _number(text, "MiB")
    if not 0.01 <= value <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} must be from 0.01 to 1000000 MiB")
    return int(value * 1024 * 1024)


def _metrics_address(text: str) -> ListenAddress:
    try:
        return parse_listen_address(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r} must be a number from 1 to 1000")
    return int(text)


def policy_of(args: argparse.Namespace) -> Policy:
    """The rules in numbers, as the command line has them."""
    restart = RestartPolicy(max_delay=args.restart_delay_max)
    budget = CpuBudget(cpus=len(os.sched_getaffinity(0)))
    return Policy(restart, StopPolicy(interrupt=args.stop_timeout), budget)


def compose_files(args: argparse.Namespace, working_dir: Path) -> tuple[list[str], list[str]]:
    """The compose files that were named, each once, and warnings for people.

    A missing one prevents nothing: it may come, and all else goes on.
    """
    names = [n.strip() for n in (args.docker_compose or "").split(",") if n.strip()]
    names = list(dict.fromkeys(names))
    warnings = [
        f"--docker-compose: {working_dir / name} is not a readable file (yet). Compose files are "
        "named relative to the working directory, separated by commas"
        for name in names
        if not (working_dir / name).is_file() or not os.access(working_dir / name, os.R_OK)
    ]
    return names, warnings


def compose_bin(args: argparse.Namespace, working_dir: Path) -> Path | None:
    """The compose binary that was named, checked to be there.

    Raises:
        ValueError: It cannot be executed; the text names it.
    """
    if args.docker_compose_bin is None:
        return None
    path = working_dir / args.docker_compose_bin
    if not path.is_file() or not os.access(path, os.X_OK):
        raise ValueError(f"--docker-compose-bin: {path} is not an executable file.")
    return path


def access_warnings(args: argparse.Namespace) -> list[str]:
    """Check the access policy before OCS does, which would end the manager over it.

    Returns:
        Warnings for people.

    Raises:
        ValueError: It makes no sense. A password in it is not shown.
    """
    policy = args.access_policy
    if policy not in (None, "", "none"):
        from ocs.access import agent_get_policy_default  # noqa: PLC0415 - it takes a tenth of a second

        try:
            agent_get_policy_default(policy)
        except (ValueError, IndexError, AttributeError):
            kind = repr(str(policy).partition(":")[0])
            raise ValueError(
                f"access_policy: {kind} with what follows is no policy. Use 'none', "
                "'director:INSTANCE-ID' (of an access director), or 'override:PASSWORD2,PASSWORD3'."
            ) from None
    elif args.min_privs > 1:
        return [
            f"--min-privs {args.min_privs}: the site has no access policy, so that every client "
            "has level 1 and nobody can command this manager. Set access_policy in the hub of the "
            "site config, or leave out --min-privs"
        ]
    return []
