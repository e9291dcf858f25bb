"""What is shared with OCS, autobahn and Twisted: the connection, the event loop, the log."""
