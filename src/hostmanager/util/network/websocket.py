"""Options of autobahn for a connection to the router that is kept."""

KEPT_CONNECTION = {
    # A router that was frozen or unplugged is noticed within 15 s.
    "autoPingInterval": 10.0,
    "autoPingTimeout": 5.0,
    "autoPingSize": 12,
    "autoPingRestartOnAnyTraffic": True,
    "closeHandshakeTimeout": 0.5,
    "failByDrop": True,
    "tcpNoDelay": True,
}
