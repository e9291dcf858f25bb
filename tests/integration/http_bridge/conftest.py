"""A bridge with managers, and the command in this process."""

import dataclasses
import json
from typing import Any

import pytest
from tests.support.http_bridge import Bridge

from hostmanager.cli.main import main


@dataclasses.dataclass
class Done:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def bridge():
    with Bridge() as running:
        yield running


@pytest.fixture
def site_file(tmp_path, monkeypatch):
    for name in ("OCS_CONFIG_DIR", "SITE_HOST", "OCS_PASSWORDS_FILE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "site.yaml"


@pytest.fixture
def run(site_file, capsys):
    def go(*arguments):
        capsys.readouterr()
        code = 0
        try:
            main([arguments[0], "--site-file", str(site_file), *arguments[1:]])
        except SystemExit as end:
            code = end.code
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        return Done(code, printed.out, printed.err)

    return go
