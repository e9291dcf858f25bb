"""The probe of installed plugins, against plugins that misbehave, found in the directory."""

import asyncio
import json
import queue
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest

from hostmanager.siteconfig.plugins.installed_classes import (
    InstalledClasses,
    finish_class_probe,
    list_classes,
    start_class_probe,
)


@pytest.fixture
def plugins(tmp_path):
    """Write plugins as `python -m` finds them: modules and metadata in the directory."""

    def write(**sources: str):
        for name, source in sources.items():
            (tmp_path / f"{name}.py").write_text(source)
            info = tmp_path / f"{name}_dist-1.dist-info"
            info.mkdir()
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}_dist\n")
            plugin = name.rstrip("0123456789")
            (info / "entry_points.txt").write_text(f"[ocs.plugins]\n{plugin} = {name}\n")
        return tmp_path

    return write


def installed(cwd, timeout=20.0) -> InstalledClasses:
    return finish_class_probe(start_class_probe(sys.executable, cwd), timeout)


def test_the_classes_of_ocs_and_of_others_are_found(plugins):
    classes = installed(plugins(foo="agents = {'FooAgent': {'module': 'foo.agent'}}"))
    assert classes.classes["FakeDataAgent"] == "ocs.agents.fake_data.agent"
    assert classes.classes["FooAgent"] == "foo.agent"
    assert classes.problems == ()


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import nothing_like_that", "No module named 'nothing_like_that'"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("syntax error", "SyntaxError"),
        ("x = 1", "has no dictionary 'agents'"),
        ("agents = ['A']", "has no dictionary 'agents'"),
        ("agents = {'A': {}, 5: {'module': 'x'}}", "names no module for 'A'"),
        ("agents = {'FakeDataAgent': {'module': 'x'}}", "is left to chance"),
    ],
)
def test_a_bad_plugin_is_reported_and_hides_nothing_else(plugins, source, expected):
    classes = installed(plugins(bad=source, good="agents = {'Good': {'module': 'g'}}"))
    assert "FakeDataAgent" in classes.classes
    assert classes.classes["Good"] == "g"
    assert any(expected in problem and "'bad'" in problem for problem in classes.problems)


def test_two_plugins_of_one_name_are_reported(plugins):
    cwd = plugins(twin1="agents = {}", twin2="agents = {}")
    assert any("named 'twin'" in problem for problem in installed(cwd).problems)


def test_what_plugins_print_does_no_harm(plugins):
    source = "import os; print('{}'); os.write(1, b'junk'); os.system('echo junk'); agents = {}"
    classes = installed(plugins(noisy=source))
    assert "FakeDataAgent" in classes.classes


def test_a_plugin_that_leaves_a_thread_does_not_hold_the_probe(plugins):
    source = "import threading, time; threading.Thread(target=time.sleep, args=(60,)).start()"
    start = time.monotonic()
    assert "FakeDataAgent" in installed(plugins(busy=source + "; agents = {}")).classes
    assert time.monotonic() - start < 50


def test_a_plugin_that_ends_the_process_makes_the_classes_unknown(plugins):
    source = "import os, sys; print('last words', file=sys.stderr, flush=True); os._exit(7)"
    classes = installed(plugins(fatal=source))
    assert classes.classes is None
    assert "exit code 7" in classes.problems[0]
    assert "last words" in classes.problems[0]


HANGS = "import subprocess, time; subprocess.Popen(['sleep', '300']); time.sleep(300)"


def is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_a_plugin_that_hangs_is_killed_with_its_children(plugins):
    popen = start_class_probe(sys.executable, plugins(slow=HANGS))
    classes = finish_class_probe(popen, timeout=1.0)
    assert classes.classes is None
    assert "within 1 s" in classes.problems[0]
    assert popen.returncode == -9


async def test_the_probe_does_not_block_the_loop(plugins):
    cwd = plugins(slow="import time; time.sleep(0.5); agents = {'Slow': {'module': 's'}}")
    task = asyncio.create_task(list_classes(sys.executable, cwd))
    ticks = 0
    while not task.done():
        await asyncio.sleep(0.01)
        ticks += 1
    assert ticks > 10
    assert task.result().classes["Slow"] == "s"


async def test_a_probe_that_is_cancelled_while_its_child_starts_kills_it_then(plugins, monkeypatch):
    cwd = plugins(slow=HANGS)
    asked, go = asyncio.Event(), threading.Event()
    started: queue.Queue[subprocess.Popen[bytes]] = queue.Queue()
    loop = asyncio.get_running_loop()

    def start(*args):
        loop.call_soon_threadsafe(asked.set)
        assert go.wait(60)
        popen = start_class_probe(*args)
        started.put(popen)
        return popen

    monkeypatch.setattr("hostmanager.siteconfig.plugins.installed_classes.start_class_probe", start)
    task = asyncio.create_task(list_classes(sys.executable, cwd))
    await asked.wait()
    task.cancel()
    await asyncio.sleep(0)
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    popen = started.get_nowait()  # it has not ended before: nothing may run on the loop after it
    assert await asyncio.to_thread(popen.wait, 20) == -signal.SIGKILL


async def test_a_cancelled_probe_kills_its_child(plugins, monkeypatch):
    popen = start_class_probe(sys.executable, plugins(slow=HANGS))
    waiting = asyncio.Event()
    loop = asyncio.get_running_loop()

    def finish(*args):
        loop.call_soon_threadsafe(waiting.set)
        return finish_class_probe(*args)

    monkeypatch.setattr(
        "hostmanager.siteconfig.plugins.installed_classes.start_class_probe", lambda *args: popen
    )
    monkeypatch.setattr(
        "hostmanager.siteconfig.plugins.installed_classes.finish_class_probe", finish
    )
    task = asyncio.create_task(list_classes())
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(popen.wait, 10)
    assert is_gone(popen.pid)


async def test_an_interpreter_that_is_not_there_makes_the_classes_unknown(tmp_path):
    classes = await list_classes(tmp_path / "python", tmp_path)
    assert classes.classes is None
    assert "could not be listed" in classes.problems[0]


@pytest.mark.parametrize("answer", ["", "[]", "{}", '{"classes": 5, "problems": []}', "x"])
def test_an_answer_that_makes_no_sense_makes_the_classes_unknown(answer):
    popen = subprocess.Popen(
        ["echo", answer], stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    assert finish_class_probe(popen).classes is None


def test_the_module_prints_one_json_object():
    command = [sys.executable, "-m", "hostmanager.siteconfig.plugins.installed_classes"]
    result = subprocess.run(command, capture_output=True, check=True)
    answer = json.loads(result.stdout)
    assert sorted(answer) == ["classes", "problems"]
    assert result.stdout.count(b"\n") == 1


def test_the_child_loads_neither_the_checks_nor_asyncio():
    code = "import sys, hostmanager.siteconfig.plugins.installed_classes; print(*sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, text=True
    )
    assert not {"yaml", "asyncio", "hostmanager.siteconfig.site_file"} & set(result.stdout.split())
