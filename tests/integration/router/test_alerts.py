"""The alarm service with real parts: crossbar, managers, agents, an SMTP and an HTTP receiver."""

import os
import re
import signal
import stat
import subprocess

import pytest

from tests.integration.router.cli_site import HOSTMANAGER, make_cli_site
from tests.support.alarm_receivers import MailServer, Webhook
from tests.support.service import NotifySocket
from tests.support.sites import instance
from tests.support.waiting import wait_for

cli_site = pytest.fixture(make_cli_site)

SECRETS = ("hook-s3cr3t", "topic-s3cr3t")

RULES = """\
receivers:
  oncall:
    urls:
      - !file mail-url
      - !env ALARM_HOOK
    silences: true
rules:
  - {for: 4s, over-after: 4s}
"""


class Service:
    """Runs of the service; `log` has the output of all."""

    def __init__(self, site, environ, systemd):
        self.directory = site.site.directory
        self.state = self.directory / "alarm-state"
        self.argv = [HOSTMANAGER, "alerts", "--site-file", str(site.site.file)]
        self.argv += ["--state-dir", str(self.state)]
        self.environ = {**os.environ, **environ}
        self.process = None
        self.systemd = systemd

    def start(self):
        with (self.directory / "alerts.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.argv, stdout=log, stderr=log, env=self.environ, start_new_session=True
            )

    def log(self):
        return (self.directory / "alerts.log").read_text()

    def end(self, number=signal.SIGTERM):
        self.systemd.times("")  # read, so that there is room for more
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)
        return 0 if self.process is None else self.process.wait(60)


@pytest.fixture
def receivers():
    hook = Webhook().up()
    with MailServer() as mail:
        yield mail, hook
    hook.down()


@pytest.fixture
def service(cli_site, receivers):
    mail, hook = receivers
    directory = cli_site.site.directory
    url = f"mailto://127.0.0.1:{mail.port}?from=hm@example.org&to=oncall@example.org&mode=insecure"
    (directory / "mail-url").write_text(f"{url}&name=topic-s3cr3t\n")
    (directory / "alerts.yaml").write_text(RULES)
    hook_url = f"json://127.0.0.1:{hook.port}/hook-s3cr3t"
    with NotifySocket(directory / "notify") as systemd:
        environ = {"ALARM_HOOK": hook_url, "NOTIFY_SOCKET": systemd.address}
        service = Service(cli_site, environ, systemd)
        yield service
        service.end()
        assert systemd.times("READY=1") == 2
        assert systemd.times("WATCHDOG=1") > 2
        assert systemd.times("STOPPING=1") == 1


def message_about(subject, texts):
    return next((text.replace("\r", "") for _, text in texts if f"\n{subject}: " in text), "")


def test_a_night_on_call(cli_site, receivers, service):
    mail, hook = receivers
    failing = instance("det1", "--behave", "exit-at-once", "--code", 3)
    cli_site.write(daq1=[instance("cam1"), failing], daq2=[instance("cam2")])
    cli_site.start("daq1")  # daq2 is away
    cli_site.run("up", "det1", "--reason", "pump test", "--no-wait")
    assert cli_site.run("alerts", "--status").code == 3
    result = cli_site.run("silence", "--host", "daq2", "--all", "--for", "2h")
    assert (result.code, "there is no alarm service at the router" in result.err) == (2, True)
    service.start()

    number = all_that_is_needed_is_told(mail, hook, service)
    a_host_that_is_away_is_silenced(cli_site, hook, service)
    acknowledged = it_is_acknowledged(cli_site, number)
    nothing_is_lost_by_a_death(cli_site, mail, hook, service, number)

    # A second one is refused; the first ends by SIGTERM.
    second = subprocess.run(
        service.argv, env=service.environ, capture_output=True, text=True, check=False
    )
    assert (second.returncode, "already running" in second.stderr) == (2, True), second.stderr
    assert service.end() == 0
    assert stat.S_IMODE(service.state.stat().st_mode) == 0o700
    written = service.log() + (service.state / "alerts.json").read_text()
    written += repr(mail.mails) + repr(hook.posts) + acknowledged
    assert "incident" in written
    assert not any(secret in written for secret in SECRETS)


def all_that_is_needed_is_told(mail, hook, service):
    def told():
        return [message_about("det1 on daq1", texts) for texts in (mail.mails, hook.posts)]

    wait_for(lambda: all(told()), 90, "an alarm to both receivers", service.log)
    for text in told():
        assert "by the clock of daq1" in text
        assert "pump test" in text
        assert "its last exit: code 3" in text
        assert "Look first: hostmanager logs det1 --host daq1" in text
        assert "hostmanager ack " in text
    assert mail.mails[0][0] == hook.posts[0][0]
    assert mail.mails[0][0].startswith("[critical] ")
    wait_for(lambda: message_about("host daq2", hook.posts), 60, "daq2", service.log)
    return re.search(r"\ndet1 on daq1[^$]*?hostmanager ack (\d+)", told()[0])[1]


def a_host_that_is_away_is_silenced(site, hook, service):
    """Its manager cannot keep a silence; the service does."""
    result = site.run("silence", "--host", "daq2", "--all", "--for", "2h", "--reason", "power")
    assert (result.code, result.out) == (
        0,
        "daq2, alarms: No alarms for host daq2 and its agents.\n",
    )
    assert "daq2" not in site.run("silence", "--host", "daq1").out
    kept = "daq2, all of its agents, no alarms: silenced for another "
    assert site.run("silence").out.startswith(kept)
    told = "silenced: host daq2, by "
    wait_for(lambda: told in "".join(text for _, text in hook.posts), 60, told, service.log)


def it_is_acknowledged(site, number):
    result = site.run("ack", number, "--reason", "on my way")
    expected = f"Incident {number} is acknowledged; its end will still be reported.\n"
    assert (result.code, result.out) == (0, expected)
    assert site.run("ack", "77").code == 1
    shown = site.run("alerts", "--status")
    assert (shown.code, "on my way" in shown.out) == (1, True), shown.out
    return shown.out


def nothing_is_lost_by_a_death(site, mail, hook, service, number):
    """It is killed, and what it is about ends meanwhile, while one receiver is down."""
    service.end(signal.SIGKILL)
    hook.down()
    posts = len(hook.posts)
    site.run("down", "det1")
    service.start()
    over = f"Incident {number} is over"
    wait_for(lambda: over in mail.mails[-1][1], 90, over, service.log)

    def failing():
        return "! oncall 2 (json): last message" in site.run("alerts", "--status").out

    wait_for(failing, 60, "the failure of a receiver", service.log)
    assert len(hook.posts) == posts
    hook.up()
    wait_for(lambda: len(hook.posts) > posts, 90, "the receiver to be told", service.log)
    assert over in hook.posts[-1][1]
    told = [text for _, text in mail.mails + hook.posts if f"Incident {number} (critical)" in text]
    assert len(told) == 2
