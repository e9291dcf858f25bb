"""What is made of errors of the connection to the router."""

import ssl
from types import SimpleNamespace

import pytest
from autobahn.wamp.exception import ApplicationError

from hostmanager.client.site_model import Site, SiteHost
from hostmanager.client.watch.feed_listener import FeedListener

HUB = {"wamp_server": "wss://router:1/ws", "wamp_realm": "r", "address_root": "obs"}


@pytest.fixture
def listener():
    config = SimpleNamespace(hub=SimpleNamespace(data=HUB))
    site = Site("site.yaml", config, {"daq1": SiteHost("daq1", "hm-daq1", {})})
    return FeedListener(site, SimpleNamespace())


def test_why_nothing_can_be_heard_is_said_once(listener, caplog):
    certificate = ssl.SSLCertVerificationError(1, "certificate verify failed")
    certificate.verify_message, certificate.verify_code = "certificate has expired", 10
    lost = ApplicationError("wamp.close.transport_lost")
    for error in (ConnectionRefusedError(), certificate, certificate, TimeoutError(), lost):
        listener.report(error)
    assert [record.levelname for record in caplog.records].count("WARNING") == 1
    assert (
        "reports no changes: certificate verify failed: certificate has expired. Renew"
        in caplog.text
    )
