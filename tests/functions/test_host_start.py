"""What the local host refuses to start, and says so; and the command `python -m dev.host`."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dev.host import Host, HostError
from dev.host_settings import OWN_TREE, problems, read_local_settings
from tests.functions.host_world import ECHO, seen


def refusal(root: Path, account: str, **settings: str) -> str:
    before = (dict(os.environ), list(sys.path))
    with pytest.raises(HostError) as refused:
        Host(root, settings, account).start()
    assert (dict(os.environ), list(sys.path)) == before
    return str(refused.value)


def test_two_app_objects_are_refused_by_name(tree: Callable[..., Path], account: str) -> None:
    root = tree("other = func.FunctionApp()")

    assert "app, other" in refusal(root, account)


def test_an_app_without_functions_or_without_an_app_is_refused(tree: Callable[..., Path], account: str) -> None:
    empty = refusal(tree(""), account)
    none = refusal(tree("del app"), account)

    assert "no functions" in empty
    assert "no FunctionApp" in none


def test_everything_wrong_is_told_at_once(tree: Callable[..., Path], account: str) -> None:
    root = tree("""
        @app.timer_trigger("timer", "%TICK%")
        def tick(timer: func.TimerRequest) -> None: ...

        @app.timer_trigger("timer", "0 61 * * * *")
        def wrong(timer: func.TimerRequest) -> None: ...

        @app.queue_trigger("msg", "%WORK%", "OtherStorage")
        def work(msg: func.QueueMessage, database=None) -> None: ...

        @app.blob_trigger("blob", "files/{name}", "AzureWebJobsStorage")
        def files(blob: func.InputStream) -> None: ...

        @app.queue_trigger("msg", "queue", "AzureWebJobsStorage")
        @app.blob_output("blob", "files/x", "AzureWebJobsStorage")
        def output(msg: func.HttpRequest, blob: func.Out[str]) -> None: ...
    """)

    told = refusal(root, account)

    for part in (
        "tick needs the setting TICK",
        "wrong minute '61'",
        "work needs the setting WORK",
        "work needs the setting OtherStorage",
        "work has parameters without a binding: database",
        "files has a blobTrigger",
        "output has a binding blob of type blob",
        "output takes msg as <class 'azure.functions._http.HttpRequest'>",
    ):
        assert part in told


@pytest.mark.parametrize(
    ("host_json", "named"),
    [
        ("{", "host.json is not JSON"),
        ("[]", '"version": "2.0"'),
        ('{"version": "2.0", "extensions": {"queues": {"batchSize": 33}}}', "batchSize"),
        ('{"version": "2.0", "extensions": {"queues": {"visibilityTimeout": "30"}}}', "visibilityTimeout"),
        ('{"version": "2.0", "extensions": {"queues": {"messageEncoding": "utf-8"}}}', "messageEncoding"),
        ('{"version": "2.0", "functionTimeout": "ten"}', "functionTimeout"),
    ],
)
def test_a_wrong_host_json_is_refused_and_the_value_named(
    tree: Callable[..., Path], account: str, host_json: str, named: str
) -> None:
    root = tree(ECHO)
    (root / "host.json").write_text(host_json, "utf-8")

    assert named in refusal(root, account)


def test_settings_are_in_the_environment_from_the_import_on_and_gone_afterwards(
    tree: Callable[..., Path], account: str
) -> None:
    root = tree("""
        import os
        seen.append((os.environ["ONLY_HERE"], os.environ["AzureWebJobsStorage"]))

        @app.route("{*rest}")
        def web(req: func.HttpRequest) -> str:
            return ""
    """)

    with Host(root, {"ONLY_HERE": "yes"}, account):
        inside = seen()

    assert inside == [("yes", account)]
    assert "ONLY_HERE" not in os.environ
    assert "function_app" not in sys.modules


def command(root: Path) -> subprocess.CompletedProcess[str]:
    """`python -m dev.host` where it ends by itself."""
    return subprocess.run(
        [sys.executable, "-m", "dev.host", "--root", str(root), "--port", "0"],
        cwd=OWN_TREE,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )


def test_the_command_names_the_file_that_is_missing(tree: Callable[..., Path]) -> None:
    refused = command(tree(ECHO))

    assert refused.returncode == 1
    assert refused.stderr.startswith("local.settings.json is missing")


def test_the_command_says_once_that_no_storage_answers(tree: Callable[..., Path]) -> None:
    root = tree(ECHO)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        storage = f"AccountName=a;AccountKey={'k' * 8};QueueEndpoint=http://{place}/a;"
        (root / "local.settings.json").write_text(json.dumps({"Values": {"AzureWebJobsStorage": storage}}), "utf-8")

        refused = command(root)

    assert refused.returncode == 1
    assert refused.stderr == f"No storage answers on {place}: start `make azurite` first, in a terminal of its own.\n"


def test_accords_own_settings_are_checked_before_anything_runs(account: str) -> None:
    example = read_local_settings(OWN_TREE / "local.settings.example.json")

    told = problems(OWN_TREE, example | {"AzureWebJobsStorage": account, "ACCORD_CLIENT_ID": "", "ACCORD_APIKEY": "x"})

    assert [one.split()[0] for one in told] == [
        "ACCORD_APIKEY",
        "ACCORD_CLIENT_ID",
        "ACCORD_API_KEY",
        "ACCORD_DIGEST_KEY",
    ]
    assert "ACCORD_CLIENT_ID is missing." in told


def test_settings_of_another_tree_are_its_own_matter(tree: Callable[..., Path], account: str) -> None:
    assert problems(tree(ECHO), {"AzureWebJobsStorage": account}) == []


@pytest.mark.parametrize(("module", "inside"), [("dev.host", "dev.host_app"), ("dev.run", "dev.azurite")])
def test_ctrl_c_while_modules_are_imported_leaves_no_traceback(module: str, inside: str) -> None:
    script = (
        "import os, runpy, signal, sys\n"
        "class Interrupting:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == sys.argv[2]: os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupting())\n"
        "runpy.run_module(sys.argv[1], run_name='__main__')\n"
    )

    ended = subprocess.run(
        [sys.executable, "-c", script, module, inside], cwd=OWN_TREE, capture_output=True, encoding="utf-8", timeout=60
    )

    assert (ended.returncode, ended.stderr) == (-signal.SIGINT, "")


def test_a_signal_inside_the_handler_of_another_does_not_hang_it() -> None:
    script = (
        "import signal, sys\n"
        "from dev.stopping import stop_by\n"
        "stop, left = stop_by(signal.SIGTERM), 30\n"
        "def again(frame, event, argument):\n"
        "    global left\n"
        "    if left and event.endswith('call'):\n"
        "        left -= 1\n"
        "        signal.raise_signal(signal.SIGTERM)\n"
        "sys.setprofile(again)\n"
        "signal.raise_signal(signal.SIGTERM)\n"
        "sys.setprofile(None)\n"
        "print(stop.wait(10), left < 30)\n"
    )

    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=OWN_TREE, capture_output=True, encoding="utf-8", timeout=20
    )

    assert (ended.stdout, ended.stderr) == ("True True\n", "")
