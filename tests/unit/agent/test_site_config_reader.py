"""A site file on a disk that hangs holds up no request for ever."""

import asyncio
import threading
from types import SimpleNamespace

import pytest

from hostmanager.agent import site_config_reader
from hostmanager.agent.site_config_reader import SiteConfigReader
from hostmanager.siteconfig.diagnostics import SiteFileError


class Disk:
    """Where the site file is; it can hang."""

    def __init__(self):
        self.answers = threading.Event()
        self.answers.set()
        self.reads = 0

    def load(self, *_):
        self.reads += 1
        self.answers.wait(60)
        return f"reading {self.reads}"


@pytest.fixture
def disk(monkeypatch):
    made = Disk()

    async def no_classes(*_):
        return None

    monkeypatch.setattr(site_config_reader, "load_stable", made.load)
    monkeypatch.setattr(site_config_reader, "list_classes", no_classes)
    monkeypatch.setattr(site_config_reader, "with_known_classes", lambda site, _: site)
    return made


@pytest.fixture
def reader(tmp_path):
    return SiteConfigReader(
        SimpleNamespace(
            site_file=tmp_path / "site.yaml", host="h", python="python", working_dir=tmp_path
        )
    )


async def test_a_disk_that_hangs_is_an_error_and_costs_one_thread(disk, reader, monkeypatch):
    monkeypatch.setattr(site_config_reader, "SITE_CONFIG_TIMEOUT", 0.05)
    disk.answers.clear()
    for _ in range(3):
        site = await reader.read()
        assert isinstance(site, SiteFileError)
        assert "is not done" in str(site)
        assert "site.yaml" in str(site)
    assert disk.reads == 1
    disk.answers.set()  # else the loop's end waits for the thread


async def test_when_the_disk_responds_again_the_file_is_read_anew(disk, reader, monkeypatch):
    monkeypatch.setattr(site_config_reader, "SITE_CONFIG_TIMEOUT", 0.05)
    disk.answers.clear()
    assert isinstance(await reader.read(), SiteFileError)
    monkeypatch.setattr(site_config_reader, "SITE_CONFIG_TIMEOUT", 30.0)
    disk.answers.set()
    assert await reader.read() == "reading 2"
    assert await reader.read() == "reading 3"


async def test_nothing_is_read_any_more_once_it_is_closed(disk, reader):
    await reader.close()
    with pytest.raises(asyncio.CancelledError):
        await reader.read()
    assert disk.reads == 0


async def test_a_reading_that_is_under_way_is_given_up(disk, reader):
    disk.answers.clear()
    reading = asyncio.create_task(reader.read())
    while not disk.reads:  # noqa: ASYNC110 - a thread tells it
        await asyncio.sleep(0.001)
    await reader.close()
    with pytest.raises(asyncio.CancelledError):
        await reading
    disk.answers.set()
