"""Make cli.md from the parsers of the subcommands, so that the page and --help cannot differ.

Run it with ``python docs/make_cli.py``. What is not in the parsers (how to find out what is
wrong, what the JSON holds) stands in this file.
"""

# ruff: noqa: E501 - rows of tables are long

import argparse
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

from ocs.site_config import add_arguments

from hostmanager.cli.completion import candidates
from hostmanager.cli.completion.table import make_table
from hostmanager.cli.main import COMMANDS, command_parser

PAGE = Path(__file__).with_name("cli.md")
COMMAND = "python docs/make_cli.py"
WIDTH = 88
INDENT = 24
ELSEWHERE = {"demo"}
"""Not on this page: the demo, whose options are those of its `--help`."""

INTRODUCTION = f"""\
# The command `hostmanager`

*This page is made by `{COMMAND}` from the parsers in `src/hostmanager/cli/`; change it there.*

One command for a whole site. It finds the hosts, their managers and the router in the site
config (`--site-file FILE`, or `$OCS_CONFIG_DIR/default.yaml`), asks all managers at the same time
over the router's HTTP bridge, and needs no login anywhere. The site options are those of every OCS program:
`--site`, `--site-file`, `--site-host`, `--site-http`, …

## Something is wrong: the first minute

```
hostmanager status                  # what is wrong comes first, with the reason
hostmanager logs acu1 -n 200        # its output
hostmanager history acu1 --since 1d # what happened to it, and who requested what
hostmanager restart acu1            # stop it, start it, check that it stays up
```

| what `status` says | what it means, what to do |
| --- | --- |
| `restarting in 8 s (target up): It exited with code 1, 6 failures in a row` | it dies again and again; its last output is below. Fix the cause; it is tried again by itself, `up` does it at once |
| `? (target up): no installed OCS plugin provides …` | it cannot be started; the rest of the line names what is missing |
| `hm-daq1 is not at the router` | the manager of that host does not run, or its host is off or cut off. Its agents may well be running. On the host: `systemctl status 'hostmanager-*'` |
| `no answer within 5 s` | it hangs, or its host is overloaded or frozen |
| `its manager process was stopped …` | somebody stopped the `manager` process; `hostmanager up --host H --all` starts it again |
| `its manager cannot use the site config: site.yaml:14:7: …` (or `… all of …`) | the site config on that host is broken (or an entry of it), at this place; what runs keeps running |
| `stopped by hand 3 h ago by ann@control (config: up): pump exchange` | somebody wants it down: a warning, exit status 0. `up ID` starts it; `up --as-configured` undoes all that was done by hand |
| `new in the site config`, `not in the site config`, `runs as …` | its manager has not read the site config since it was changed; `hostmanager diff` shows what `hostmanager reload` would do |
| `unstable` | it is up, but died recently; wrong until it has registered again, then a warning |
| `no router answers at …` | the router (crossbar) does not run. Agents and managers go on without it; if it is a compose service, `journalctl -u 'hostmanager-*'` on its host says why it does not start |
| `no encrypted connection to … can be made: …` | what TLS reported, and what to do; see [install.md](install.md#tls-to-the-router). The connection is never made without encryption instead |

## Common behaviour

- **Exit status**: 0 done, 1 not reached, 2 the command line or the site config makes no sense (and
  nothing was done), 3 the router or the manager of a host in question does not answer, 130
  Ctrl-C. What 0 and 1 mean exactly is listed with each command. The worst of all hosts counts; 3 is
  worse than 1.
- **Names**: `PATTERN` is an instance-id or a pattern of them (`*`, `?`, `[12]`), which has to be
  quoted for the shell. One that matches nothing is an error that suggests similar names; nothing is
  done then. The id of a manager is not an agent: use `--host`.
- **A host that is silent** costs `--answer-time` (5 s) once, however many there are, and the others
  are shown, and get their requests, all the same.
- **Output**: colours and tables that fit the width on a terminal (a narrow one has fewer columns), plain text with whole lines
  elsewhere (`NO_COLOR` and `TERM=dumb` are honoured), `--json` for programs. Warnings go to stderr.
- **An output that cannot be written** (a full disk) is one message and exit status 1; a reader that
  has ended (`| head`) is 141, without a message.
- **Help**: `hostmanager help COMMAND`; `--help-site` for the options that every OCS program has. A
  manual page of each command comes with the package: `man hostmanager-status`, in the environment that it
  is installed into (elsewhere: `man -l ENVIRONMENT/share/man/man1/hostmanager-status.1`).
- **Ctrl-C** ends the waiting, never what the managers do; the message says what continues.
- **Privileges**: with OCS's access control, `--privs 2` takes the password of that level from OCS's
  password file (`~/.ocs-passwords.yaml` or `$OCS_PASSWORDS_FILE`), `--privs PASSWORD` is one, and
  `--privs -` asks for it. A password on the command line can be seen by others on this machine.
- **Which router**: that of the hub, or what the block of this machine (`--site-host`) has instead,
  as for every OCS client.
"""

JSON = """\
## JSON

Each command prints one value, on one line, and nothing else on stdout; only `logs --json` and
`status --watch --json` print many, one a line. Times are Unix times, lengths are seconds. Fields may be
added. On an error, `error` is the text, and only the first three fields are there besides.

| of | field | content |
| --- | --- | --- |
| all | `command`, `exit`, `time` | which command, its exit status, when |
| `status` | `site_file`, `summary` | the file; numbers: `hosts`, `hosts_silent`, `agents`, and agents by severity: `ok`, `note`, `warning`, `unknown`, `wrong` |
| | `hosts[]` | `host`, `manager` (id or null), `answers`, `trouble` (null, `router`, `absent`, `silent`, `refused`), `process` (status of the manager process), `severity`, `reasons[]`, `config_parse_status`, `orphans`, `new_tags`, `agents[]` |
| | `hosts[].agents[]` | all that the manager reports of it ([operations.md](operations.md)), and: `host`, `state`, `target` (null if not known), `severity`, `reasons[]`, `manage` (word, or null), `in_site_config`, `known_to_manager` |
| `up`, `down`, `restart` | `dry_run`, `steps[]` | `host`, `instance_id`, `before` (state), `wanted`, `state`, `outcome` (`pending`, `told`, `reached`, `failed`, `timeout`), `why`, `last_lines[]` |
| | `already[]`, `refused[]` | `host`, `instance_id`; `why` |
| `logs` | a line each | `time` (null: not known), `host`, `instance_id`, `text` |
| `history` | `entries[]` | as the operation `history` returns them, and `host` |
| `blame` | `agents[]`, `first_launches` (Unix time by host), `chains[][]` | `host`, `instance_id`, `launched_at`, `took`, `waited`, `waited_for`, `given_up`, `note`: why `took` is null ([order.md](order.md)) |
| `diff` | `site_file`, `hosts[]` | `host`, `answers`, `text`, `changes[]`: `what` (`add`, `stop`, `replace`, `change`, `broken`), `instance_id`, `text` |
| `reload`, `pull`, `die` | `hosts[]` | `host`, `ok`, `answers`, `text` |
| `check` | `files[]` | `file`, `hosts`, `agents`, `errors`, `warnings` (numbers), `readable`, `router_answers`, `unchecked[]`, `seen[]`, `problems[]`: `severity` (`error`, `warning`), `about` (`file`, `class`, `arguments`, `manager`, `compose`, `folder`, `router`), `host`, `instance_id`, `file`, `line`, `column` (null: no place), `message`, `remedy` |
| `install-systemd` | `unit`, `path`, `dry_run`, `steps[]`, `remarks[]` | the unit, what was done (with `--dry-run`: what would be), what to know |
| `orphans` | `orphans` | by host, a list of what the manager reports of each; with `--remove`, `hosts[]` as for `reload` |

| severity | means |
| --- | --- |
| `ok`, `note` | at its target; with `note`, there is something to know |
| `warning` | at its target, or on its way, but not as it should be |
| `unknown` | its manager does not answer |
| `wrong` | not at its target |
"""

COMPLETION = """\
## How long it takes

`hostmanager status` takes 0.27 s for 12 hosts with 156 agents and 0.47 s for 50 hosts with 1,000
(medians of 7, on a machine at rest with 2 cores; managers simulated behind an HTTP bridge that
answers at once). 0.2 s of that are Python and the imports, OCS's HTTP client (`requests`) most of
all. A Tab takes 0.05 s to 0.08 s (median of 11, the same machine), of which 0.03 s are the start of Python: the
words come from a table (`cli/completion/table.json`) that the script of this page makes, too.
"""


def sections() -> list[str]:
    """Write a section for each subcommand, in the order of the help."""
    found = []
    for name, summary in COMMANDS.items():
        if name in ELSEWHERE:
            continue
        parser = command_parser(name)
        text = "\n".join(manual(name, parser))
        found.append(f"### {name}\n\n{summary[0].upper()}{summary[1:]}.\n\n```text\n{text}\n```\n")
    return found


def manual(name: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    """Write what --help says, in a form that does not depend on the version of Python.

    The options that every OCS program has are left out.
    """
    ours = [action for action in parser._actions if not is_general(action)]
    words = [spelled(action) for action in ours if not action.option_strings]
    yield " ".join([f"hostmanager {name}", *words, "[options] [site options]"])
    yield f"\n{parser.description}"
    for group in parser._action_groups:
        actions = [action for action in group._group_actions if action in ours]
        if actions:
            yield f"\n{group.title}:"
        for action in actions:
            yield from option(action)
    yield f"\n{(parser.epilog or '').rstrip()}"


def is_general(action: argparse.Action) -> bool:
    """Whether it is an option of every OCS program, or not to be shown."""
    general = add_arguments(argparse.ArgumentParser())._option_string_actions
    return action.help == argparse.SUPPRESS or bool(general.keys() & set(action.option_strings))


def spelled(action: argparse.Action) -> str:
    """An option as it is typed: ``-n, --lines N``."""
    value = action.metavar or ("" if action.choices else action.dest.upper())
    if action.choices and not action.metavar:
        value = "{" + ",".join(map(str, action.choices)) + "}"
    if not action.option_strings:
        return f"[{value} ...]" if action.nargs == "*" else str(value)
    names = ", ".join(action.option_strings)
    return names if action.nargs == 0 else f"{names} {value}"


def option(action: argparse.Action) -> Iterator[str]:
    """Write an option and what it is for."""
    values = {**vars(action), "prog": "hostmanager"}
    text = textwrap.wrap((action.help or "") % values, WIDTH - INDENT)
    left = f"  {spelled(action)}"
    if len(left) >= INDENT - 1:
        yield left
        left = ""
    for line in text:
        yield f"{left:{INDENT}}{line}"
        left = ""


def page() -> str:
    """Write the whole page."""
    parts = [INTRODUCTION, "## The commands\n", *sections(), JSON, COMPLETION]
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    Path(candidates.TABLE_FILE).write_text(make_table(), encoding="utf-8")
    print(f"{PAGE} written", file=sys.stderr)
