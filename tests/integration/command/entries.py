"""Entries of agents that are checked, and plugins: modules and metadata in the working directory, as
`python -m` finds them there."""

import pytest
import yaml

from hostmanager.cli.main import main

PARSER = "import argparse\nparser = argparse.ArgumentParser()\n"


def make_agents(tmp_path):
    """The fixture ``agents``: one module and class each; ``agents(one="source")`` writes class `One`."""

    def write(**sources):
        for name, source in sources.items():
            (tmp_path / f"{name}_agent.py").write_text(source)
        classes = {name.title(): {"module": f"{name}_agent"} for name in sources}
        (tmp_path / "mine.py").write_text(f"agents = {classes!r}\n")
        info = tmp_path / "mine_dist-1.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine_dist\n")
        (info / "entry_points.txt").write_text("[ocs.plugins]\nmine = mine\n")
        return tmp_path

    return write


def make_check(tmp_path, capsys):
    """The fixture ``check``: check entries of host `daq1`, which this machine is, unless told."""

    def go(*entries, words=("--site-host", "daq1"), other=(), hub=()):
        data = {
            "hub": {
                **{"wamp_server": "ws://127.0.0.1:9/ws", "wamp_realm": "r", "address_root": "o"},
                **{"wamp_http": "http://127.0.0.1:9/call", **dict(hub)},
            },
            "hosts": {
                "daq1": {"agent-instances": list(entries)},
                "daq2": {"agent-instances": list(other)},
            },
        }
        file = tmp_path / "site.yaml"
        file.write_text(yaml.safe_dump(data, sort_keys=False, width=1000))
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main(["check", "--offline", "--working-dir", str(tmp_path), *words, str(file)])
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        lines = [line.removeprefix(f"{file}:") for line in printed.out.splitlines()]
        return end.value.code, lines, printed.err

    return go


def entry(name, agent_class, *arguments, **more):
    return {
        "instance-id": name,
        "agent-class": agent_class,
        "arguments": list(arguments),
        **more,
    }


def manager(*arguments, name="hm-daq1"):
    return entry(name, "HostManager", *arguments)
