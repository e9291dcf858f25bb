import argparse

import pytest
from ocs.site_config import parse_args

from hostmanager.siteconfig.command_line import UsageError, parse_agent_args, resolve_site_file
from hostmanager.siteconfig.diagnostics import SiteFileError
from tests.unit.siteconfig.conftest import GOOD, site_of


def agent_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="agent")
    parser.add_argument("--initial-state", choices=["up", "down"])
    parser.add_argument("--docker-service-prefix", default="ocs-")
    parser.add_argument("--quiet", action="store_true")
    return parser


def ours(argv, environ=None, agent_class="HostManager"):
    return parse_agent_args(agent_parser(), argv, environ or {}, agent_class)[0]


def refusal(argv, environ=None) -> str:
    with pytest.raises(UsageError) as caught:
        ours(argv, environ)
    return str(caught.value)


COMMAND_LINES = [
    [],
    ["--instance-id", "hm-daq"],
    ["--instance-id=hm-daq", "--initial-state", "down"],
    ["--initial-state=down"],
    ["--site-hub", "ws://x", "--site-http", "http://x", "--site-realm", "r"],
    ["--address-root", "root", "--access-policy", "director:x", "--registry-address", "y"],
    ["--log-dir", "here", "--working-dir", "there", "--crossbar-timeout", "0"],
    ["--log-dir=here"],
    ["--work", "there"],
]


@pytest.mark.parametrize("argv", COMMAND_LINES)
def test_a_good_command_line_means_what_it_means_to_ocs(scf, argv):
    arguments = ["--site-file", str(scf(GOOD)), "--site-host", "daq", *argv]
    theirs = parse_args(agent_class="HostManager", parser=agent_parser(), args=arguments)
    assert vars(ours(arguments)) == vars(theirs)


@pytest.mark.parametrize("host", ["daq", "localhost"])
def test_host_overrides_mean_what_they_mean_to_ocs(scf, host):
    overrides = "    wamp_server: ws://y\n    wamp_http: http://y\n    wamp_realm: y\n"
    text = site_of("- {instance-id: hm, agent-class: HostManager}", host)
    text = text.replace("    agent-inst", overrides + "    agent-inst")
    argv = ["--site-file", str(scf(text)), "--site-host", "daq"]
    theirs = parse_args(agent_class="HostManager", parser=agent_parser(), args=argv)
    theirs.site_host = host
    assert vars(ours(argv)) == vars(theirs)
    assert theirs.site_hub == "ws://y"


def test_the_host_is_the_system_s_when_none_is_asked_for(scf, monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "daq")
    argv = ["--site-file", str(scf(GOOD))]
    theirs = vars(parse_args(agent_class="HostManager", parser=agent_parser(), args=argv))
    assert vars(ours(argv)) == {**theirs, "site_host": "daq"}


def test_the_default_site_is_found_in_the_directory_of_the_environment(scf):
    path = scf(GOOD, "default.yaml")
    args = ours(["--site-host", "daq"], {"OCS_CONFIG_DIR": str(path.parent)})
    assert args.site_file == str(path)


def test_a_relative_site_file_becomes_absolute(scf, monkeypatch):
    path = scf(GOOD)
    monkeypatch.chdir(path.parent)
    assert ours(["--site-file", "site.yaml", "--site-host", "daq"]).site_file == str(path)


def test_the_environment_stands_between_command_line_and_site_file(scf):
    text = site_of(
        "- {instance-id: hm, agent-class: HostManager, arguments: [--site-http, http://scf, "
        "--crossbar-timeout, 3]}\n- {instance-id: hm2, agent-class: HostManager}"
    )
    environ = {
        "INSTANCE_ID": "hm",
        "SITE_HOST": "daq",
        "SITE_HUB": "ws://env",
        "SITE_HTTP": "http://env",
        "CROSSBAR_TIMEOUT": "7",
    }
    argv = ["--site-file", str(scf(text))]
    args = ours(argv, environ)
    assert (args.instance_id, args.site_host, args.site_hub) == ("hm", "daq", "ws://env")
    assert (args.site_http, args.crossbar_timeout) == ("http://env", 7)
    environ |= {"SITE_HTTP": "", "CROSSBAR_TIMEOUT": ""}
    args = ours([*argv, "--instance-id", "hm", "--site-hub=ws://cl"], environ)
    assert (args.site_hub, args.site_http, args.crossbar_timeout) == ("ws://cl", "http://scf", 3)


def test_an_empty_value_may_be_a_word_of_its_own(scf):
    argv = ["--site-file", str(scf(GOOD)), "--site-host", "daq"]
    assert ours([*argv, "--docker-service-prefix", ""]).docker_service_prefix == ""
    assert "does not belong to an option" in refusal(["--quiet=1", ""])


def test_a_broken_entry_of_another_instance_is_no_matter(scf):
    text = GOOD.replace("agent-class: FakeDataAgent\n        manage: host/down", "manage: x")
    args, site = parse_agent_args(
        agent_parser(), ["--site-file", str(scf(text)), "--site-host", "daq"], {}
    )
    assert args.instance_id == "hm-daq"
    assert site.broken_ids == {"data2"}


def test_options_that_make_no_sense_are_reported_plainly(scf):
    good = ["--site-file", str(scf(GOOD)), "--site-host", "daq"]
    assert "--site none" in refusal(["--site", "none"])
    assert "both given" in refusal(["--site", "a", "--site-file", "b"])
    assert "OCS_CONFIG_DIR" in refusal([])
    assert "--site-file is empty" in refusal(["--site-file="])
    assert refusal([*good, "--foo"]) == "there is no option '--foo'. See --help."
    assert "Did you mean '--quiet'?" in refusal(["--quite"])  # before the site file is missed
    assert "invalid int value: 'x'" in refusal(good, {"CROSSBAR_TIMEOUT": "x"})
    assert "invalid choice: 'x'" in refusal([*good, "--initial-state", "x"])
    assert "Did you mean 'hm-daq'?" in refusal([*good, "--instance-id", "hm-dag"])
    assert "class FakeDataAgent, not HostManager" in refusal([*good, "--instance-id", "data1"])


def test_several_entries_of_the_class_need_a_choice(scf):
    entry = "- {instance-id: %s, agent-class: HostManager}\n"
    argv = ["--site-file", str(scf(site_of(entry % "hm1" + entry % "hm2"))), "--site-host", "daq"]
    assert "2 instances of class HostManager: 'hm1', 'hm2'" in refusal(argv)
    assert ours([*argv, "--instance-id", "hm2"]).instance_id == "hm2"


@pytest.mark.parametrize("name", ["--help", "-rf", "..", "a b"])
def test_an_id_that_ocs_cannot_run_is_refused_with_the_reason(scf, name):
    argv = ["--site-file", str(scf(site_of("[]"))), "--site-host", "daq"]
    text = refusal([*argv, f"--instance-id={name}"])
    assert text.startswith(f"--instance-id {name}: the id ")


def test_no_entry_of_the_class_says_what_to_add(scf):
    argv = ["--site-file", str(scf(site_of("[]"))), "--site-host", "daq"]
    assert "Add '- instance-id: hm-daq'" in refusal(argv)


@pytest.mark.parametrize("extra", [[], ["--instance-id", "hm"]])
def test_a_broken_entry_of_ours_is_reported_with_its_place(scf, extra):
    path = scf(site_of("- {instance-id: hm, agent-class: HostManager, arguments: x}"))
    text = refusal(["--site-file", str(path), "--site-host", "daq", *extra])
    assert f"{path}:9:64: hm: 'arguments' is 'x'" in text


def test_arguments_in_the_file_that_ask_for_help_are_refused(scf):
    path = scf(site_of("- {instance-id: hm, agent-class: HostManager, arguments: [-h]}"))
    assert "contain a request for help" in refusal(["--site-file", str(path), "--site-host", "daq"])


def test_a_bad_site_file_is_raised_with_its_problems(scf):
    with pytest.raises(SiteFileError, match="'hub' is missing"):
        ours(["--site-file", str(scf("hosts: {daq: {agent-instances: []}}")), "--site-host=daq"])


@pytest.mark.parametrize("word", ["-h", "--help"])
def test_help_needs_no_site_file(word, capsys):
    with pytest.raises(SystemExit) as caught:
        ours([word, "--site-file", "/none"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert "--initial-state" in text
    assert "--site-file" in text


def test_nothing_is_printed_and_the_parser_is_left_alone(scf, capsys):
    parser = agent_parser()
    argv = ["--site-file", str(scf(GOOD)), "--site-host", "daq"]
    first = parse_agent_args(parser, argv, {})[0]
    with pytest.raises(UsageError):
        parse_agent_args(parser, [*argv, "--foo"], {})
    assert parse_agent_args(parser, argv, {})[0] == first
    assert capsys.readouterr() == ("", "")


def test_the_site_file_is_resolved_as_ocs_does():
    def resolve(environ, site=None, site_file=None):
        return str(resolve_site_file(argparse.Namespace(site=site, site_file=site_file), environ))

    assert resolve({"OCS_CONFIG_DIR": "/etc/ocs"}) == "/etc/ocs/default.yaml"
    assert resolve({"OCS_CONFIG_DIR": "/etc/ocs"}, site="lab") == "/etc/ocs/lab.yaml"
    assert resolve({"OCS_CONFIG_DIR": "/etc/ocs"}, site_file="/a/b.yaml") == "/a/b.yaml"
