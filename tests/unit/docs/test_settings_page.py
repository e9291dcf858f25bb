"""docs/settings.md has the table of settings."""

from pathlib import Path

from hostmanager.siteconfig.settings import SETTINGS, Setting

PAGE = Path(__file__).parents[3] / "docs" / "settings.md"


def row(setting: Setting) -> str:
    default = str(setting.default).lower() if setting.type is bool else f"{setting.default}"
    default = setting.default_text or f"`{default}`"
    host = "yes" if setting.for_host else "no"
    cells = (f"`{setting.key}`", setting.values, default, host, setting.meaning)
    return f"| {' | '.join(cells)} |"


def test_the_page_has_each_setting_as_the_reader_has_it():
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    table = [line for line in lines if line.startswith("| `")]
    assert table == [row(setting) for setting in SETTINGS.values()]


def test_the_page_explains_each_setting():
    text = PAGE.read_text(encoding="utf-8")
    assert [key for key in SETTINGS if f"\n## `{key}`\n" not in text] == []
