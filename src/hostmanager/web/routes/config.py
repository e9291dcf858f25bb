"""The site config: the file as it is here, what managers have read of it, what a reload would change."""

import time

from aiohttp import web

from hostmanager.web.context import known_host, shared_of, site_of
from hostmanager.web.pages import render
from hostmanager.web.views.config import CHANGE_WORDS, host_config, read_config_file

FILE_SECONDS = 2.0
"""For how long the file is not read again."""


async def show_config(request: web.Request) -> web.Response:
    """The site config, for the whole site or one host."""
    live, name = site_of(request), request.match_info.get("host")
    statuses = live.hosts() if name is None else [known_host(request, name)]
    path = live.site.path
    key = "site config", path, id(live.site)  # read anew together with the changes that it brings
    file = await shared_of(request).answers.get(key, FILE_SECONDS, lambda: read_config_file(path))
    hosts = [host_config(status) for status in statuses]
    changed = [host for host in hosts if host.differs]
    return render(
        request,
        "config.html",
        file=file,
        notice=live.site.notice,
        hosts=sorted(
            hosts, key=lambda host: (not host.differs, not host.changes, not host.unknown)
        ),
        changed=changed,
        name=name,
        problems_at=file.problems_at(),
        words=CHANGE_WORDS,
        now=time.time(),
    )


ROUTES = [web.get("/config", show_config), web.get("/config/{host}", show_config)]
