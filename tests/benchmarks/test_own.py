"""Evaluations of the user's own."""

from __future__ import annotations

import asyncio
import json
import os
import py_compile
import re
import sys
import zipfile
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from tests.support.results_tree import stage
from toolrl_cli.benchmarks.asking.answers import Answers
from toolrl_cli.benchmarks.asking.client import Client, Target
from toolrl_cli.benchmarks.asking.driver import Driver
from toolrl_cli.benchmarks.evaluation import _questions
from toolrl_cli.benchmarks.own.command import metrics_of, run_command
from toolrl_cli.benchmarks.own.command_stage import check_unchanged, run_own_command
from toolrl_cli.benchmarks.own.python_file import OwnPython
from toolrl_cli.benchmarks.scoring import score
from toolrl_cli.errors import BenchmarkError, SpecError
from toolrl_cli.processes.child import importable
from toolrl_cli.spec.evaluations.benchmarks import EvaluationContext, Item, NotRun, Reply, Session, Verdict
from toolrl_cli.spec.evaluations.own_evaluation import doubts, own_evaluation
from toolrl_cli.spec.run.evaluation_settings import EvaluateSpec, OwnEvaluation
from toolrl_cli.spec.stage import StageContext
from toolrl_cli.spec.sweeps.resolve import resolve_sweep
from toolrl_cli.spec.sweeps.sweep import read_sweep
from toolrl_cli.store.scores import read_scores, write_scores

TEMPLATE = Path(__file__).parents[2] / "toolrl_cli/benchmarks/own/template.py"
GOOD = """
def items():
    return [{'prompt': 'q', 'gold': 'a'}]

def judge(item, output):
    return item['gold'] in output
"""


def own_of(path: Path, code: str) -> OwnEvaluation:
    path.write_text(code)
    return OwnEvaluation(**own_evaluation(f"./{path.name}", path.parent, "evaluate"))


def scores_of(folder: Path, command: list[str]) -> dict[str, Any]:
    """What the stage of a command, named `sc`, leaves."""
    model = {"kind": "endpoint", "name": "e", "url": "http://there/v1", "model": "m"}
    own = own_evaluation({"command": command, "name": "sc"}, folder, "")
    spec = stage("evaluate", model=model, benchmark="sc", own=own)
    place = folder / spec.id
    run_own_command(StageContext(spec, folder, place, place / "attempts/1", {}))
    found: dict[str, Any] = json.loads((place / "output/scores.json").read_text())
    return found


def test_the_template_is_an_evaluation_whose_gold_answer_is_right(tmp_path: Path) -> None:
    benchmark = OwnPython(own_of(tmp_path / "mine.py", TEMPLATE.read_text()))
    items = benchmark.items(None)
    scores, rows = score(benchmark, items, [Reply("It is 4.")])
    assert scores["metrics"]["sums"]["value"] == scores["metrics"]["overall"]["value"] == 1.0
    assert rows[0]["correct"] and rows[0]["prompt"] == list(items[0].messages)


def test_items_without_a_category_count_for_the_total_alone_and_the_scores_are_read(tmp_path: Path) -> None:
    given = "{'category': 0}, {'category': False}, {'category': 'sums'}, {'category': None}, {}"
    benchmark = OwnPython(
        own_of(
            tmp_path / "mine.py",
            GOOD.replace(
                "[{'prompt': 'q', 'gold': 'a'}]", f"[{{'prompt': 'q', 'gold': 'a', **c}} for c in ({given})]"
            ),
        )
    )
    scores, rows = score(benchmark, benchmark.items(None), [Reply("a")] * 5)
    write_scores(tmp_path, scores, rows)
    read = read_scores(tmp_path / "scores.json", "mine")
    assert not read.problem
    assert {name: found.total for name, found in read.metrics.items()} == {
        **{"0": 1, "False": 1, "sums": 1, "overall": 5}
    }


def test_an_edited_file_is_judged_by_as_it_is_now_whatever_python_has_cached_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    helper, code = tmp_path / "helper.py", GOOD.replace("item['gold'] in output", "bool(helper.RIGHT)")
    for right in (1, 0):  # two edits of one size, and of one time, as a copy with its times kept has
        helper.write_text(f"RIGHT = {right}\n")
        os.utime(helper, (1e9, 1e9))
        benchmark = OwnPython(own_of(tmp_path / "mine.py", f"import helper\n{code}"))
        _, rows = score(benchmark, benchmark.items(None), [Reply("")])
        assert rows[0]["correct"] == bool(right)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["helper.py", "mine.py"]


@pytest.mark.parametrize(
    ("start", "name"),
    [
        ("spawn", "mine"),
        ("forkserver", "my-eval"),
        ("fork", "mine"),
        ("spawn", "statistics"),
        ("spawn", "httpx"),
    ],
)
def test_a_file_may_judge_in_processes_of_its_own(tmp_path: Path, start: str, name: str) -> None:
    (tmp_path / "helper.py").write_text("def right(item):\n    return item['gold'] == 'a'\n")
    (tmp_path / "json.py").write_text("raise OSError\n")
    judged = f"multiprocessing.get_context('{start}').Pool(1).map_async(one, [item]).get(30)[0]"
    code = f"import helper, multiprocessing, sys\ndef one(item): return helper.right(item)\n{GOOD}"
    code += "sys.argv = ['another']\n"
    benchmark = OwnPython(own_of(tmp_path / f"{name}.py", code.replace("item['gold'] in output", judged)))
    _, rows = score(benchmark, benchmark.items(None), [Reply("a")])
    assert rows[0]["correct"]


def test_a_program_that_a_file_starts_imports_from_its_own_folder(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "check.py").write_text("import solution")
    (tmp_path / "work" / "solution.py").write_text("")
    judged = "subprocess.run([sys.executable, 'check.py'], cwd='work').returncode == 0"
    code = "import subprocess, sys\n" + GOOD.replace("item['gold'] in output", judged)
    benchmark = OwnPython(own_of(tmp_path / "mine.py", code))
    _, rows = score(benchmark, benchmark.items(None), [Reply("a")])
    assert rows[0]["correct"]


def test_a_file_may_import_from_an_archive_beside_it(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "libs.zip", "w") as archive:
        archive.writestr("packed.py", "def right(item, output):\n    return item['gold'] in output\n")
    code = f"import sys\nsys.path.insert(0, 'libs.zip')\nimport packed\n{GOOD}"
    judged = "packed.right(item, output)"
    benchmark = OwnPython(own_of(tmp_path / "mine.py", code.replace("item['gold'] in output", judged)))
    _, rows = score(benchmark, benchmark.items(None), [Reply("a")])
    assert rows[0]["correct"]


@pytest.mark.parametrize(
    ("imports", "files"),
    [
        ("import helper as one\ntwo = importlib.import_module('helper')", ["helper"]),
        ("from . import helper as one\nimport helper as two", ["helper"]),
        ("from .helper import SELF as one\nfrom helper import SELF as two", ["helper"]),
        ("import pack.part as one\ntwo = importlib.import_module('pack.part')", ["pack/part"]),
        ("import pack.part as one\nfrom pack import near\ntwo = near.part", ["pack/part", "pack/near"]),
        ("import plugin\none = plugin.helper\nimport helper as two", ["plugin", "helper"]),
        (
            "import pack.up\none = pack.up.helper\nfrom . import *\nimport helper as two",
            ["helper", "pack/up"],
        ),
    ],
)
def test_a_file_beside_is_one_module_however_it_is_imported_and_never_out_of_a_cache(
    tmp_path: Path, imports: str, files: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    (tmp_path / "pack").mkdir()
    more = {
        "pack/near": "from . import part\n",
        "pack/up": "from .. import helper\n",
        "plugin": "import importlib\nhelper = importlib.import_module('helper')\n",
    }
    for file in files:
        (tmp_path / f"{file}.py").write_text(
            f"{more.get(file, '')}import sys\nSELF = sys.modules[__name__]\n"
        )
        py_compile.compile(str(tmp_path / f"{file}.py"))
    for right in (1, 0):
        first = tmp_path / f"{files[0]}.py"
        first.write_text(f"{first.read_text().partition('RIGHT')[0]}RIGHT = {right}\n")
        os.utime(first, (1e9, 1e9))
        if right:
            py_compile.compile(str(first))
        module = files[0].replace("/", ".")
        code = GOOD.replace(
            "item['gold'] in output", f"one is two and bool(importlib.import_module('{module}').RIGHT)"
        )
        benchmark = OwnPython(own_of(tmp_path / "mine.py", f"import importlib\n{imports}\n{code}"))
        _, rows = score(benchmark, benchmark.items(None), [Reply("")])
        assert rows[0]["correct"] == bool(right)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import os\nitems = judge = lambda *a: os._exit(3)\n", "status 3"),
        (GOOD.replace("return [{'prompt': 'q', 'gold': 'a'}]", "return []"), "gives no item"),
        (GOOD.replace("'prompt': 'q', ", ""), "neither a text `prompt` nor a list of `messages`"),
        (GOOD.replace("'gold': 'a'", "'gold': {1}"), "is no JSON"),
        (GOOD.replace("'gold': 'a'", "'gold': ('a',)"), r"item 0 would not reach judge as it is.*\('a',\)"),
        (GOOD.replace("'gold': 'a'", "'gold': {'x': [{1: 2}]}"), "item 0 would not reach judge as it is"),
        (GOOD.replace("'gold': 'a'", "'gold': 'a', 7: 8"), "item 0 would not reach judge as it is"),
        (
            GOOD.replace("'gold': 'a'", "'messages': [{'content': 'p'}]"),
            "`messages` and a `prompt` that is none",
        ),
        (GOOD.replace("return [", "return 2 * [").replace("'prompt'", "'id': 7, 'prompt'"), "id '7'"),
        (GOOD.replace("item['gold'] in output", "3"), "judge gives 3 for item 0"),
        (GOOD.replace("item['gold'] in output", "''"), "judge gives an empty text for item 0"),
        (GOOD.replace("item['gold'] in output", "item['none']"), "raised KeyError"),
        ("import sys\n" + GOOD + "sys.exit('no')\n", "raised SystemExit: no"),
    ],
)
def test_what_a_file_gives_that_cannot_be_used_is_one_line(tmp_path: Path, code: str, told: str) -> None:
    benchmark = OwnPython(own_of(tmp_path / "mine.py", code))
    with pytest.raises(BenchmarkError, match=told) as caught:
        score(benchmark, benchmark.items(None), [Reply("a")])
    assert "\n" not in str(caught.value) and "mine.py" in str(caught.value)


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ("./none.py", "there is no file"),
        ("./bad.py", "is no valid Python"),
        (
            "./2shot.py",
            r"'2shot' cannot name an evaluation \(rename the file: a letter, then letters, digits",
        ),
        (
            {"command": ["true"], "name": "2shot"},
            r"cannot name an evaluation \(write name: …: a letter, then",
        ),
        (
            "./above.py",
            r"imports from above its folder \(put what it imports into that folder, and import it by",
        ),
        ("./half.py", r"defines no judge\(item, output\)"),
        ("./typed.py", r"defines no judge\(item, output\)"),
        ("./later.py", r"defines no judge\(item, output\)"),
        ("./method.py", r"defines no judge\(item, output\)"),
        ({"command": "python"}, "a list of words"),
        ({"command": []}, "a list of words"),
        ({"command": ["true"], "nam": "x"}, "unknown key 'nam'"),
        ({"command": ["true"], "name": "a b"}, "cannot name"),
        ({"command": ["python", "scoer.py", "{model}"]}, "there is no file .*scoer.py"),
        ({"command": ["python", "-u", "missing.py"]}, "there is no file .*missing.py"),
        ({"command": ["python3", "-W", "ignore", "missing"]}, "there is no file .*missing"),
        ({"command": ["bash", "-eo", "pipefail", "missing.sh"]}, "there is no file .*missing.sh"),
        ({"command": ["tool", "missing.sh"]}, "there is no file .*missing.sh"),
        ({"command": ["./missing"]}, "there is no file .*missing"),
        ({"command": ["./half.py"]}, r"half.py is not executable \(chmod \+x /"),
        ({"command": ["/tmp"]}, "/tmp is not executable"),
        (
            {"command": ["true", "{Model}"]},
            r"\{Model\} stands for nothing \(did you mean \{model\}\? \{model\} is the model's folder, \{output\} one",
        ),
        (
            {"command": ["true", "--out={ouput}/x.json"]},
            r"\{ouput\} stands for nothing \(did you mean \{output\}",
        ),
        ({"command": ["true", "{output_dir}/x"]}, r"did you mean \{output\}"),
        ({"command": ["true", "{ output }"]}, r"did you mean \{output\}"),
        ({"command": ["true", "{zzz}"]}, r"\{zzz\} stands for nothing \(\{model\} is the model's folder"),
        ({"command": ["true", "$TOOLRL_MODEL"]}, "no shell fills in .TOOLRL_MODEL .*from its environment"),
        (
            {"command": ["true", "--url=${OPENAI_BASE_URL}/x"]},
            r"no shell fills in --url=\$\{OPENAI_BASE_URL\}/x",
        ),
    ],
)
def test_a_bad_one_is_refused_when_it_is_planned(tmp_path: Path, entry: Any, told: str) -> None:
    (tmp_path / "bad.py").write_text("def items(:")
    (tmp_path / "half.py").write_text("def items(): return []")
    (tmp_path / "typed.py").write_text("items = list\njudge: object\n")
    (tmp_path / "method.py").write_text("items = list\nclass A:\n    def judge(self): pass\n")
    (tmp_path / "later.py").write_text("items = list\nasync def judge(item, output): pass\n")
    (tmp_path / "2shot.py").write_text(GOOD)
    (tmp_path / "above.py").write_text("from ..x import y\n" + GOOD)
    with pytest.raises(SpecError, match=told) as caught:
        own_evaluation(entry, tmp_path, "sweep.yaml:3: evaluate")
    assert str(caught.value).startswith("sweep.yaml:3")


@pytest.mark.parametrize(
    "words",
    [
        ["{model}/x", "--out={output}/y"],
        ["-c", "{x}"],
        ["-lc", "score $TOOLRL_MODEL"],
        ['{"a": {b}}'],
        ["awk program {print}"],
        ["-c", "missing.py"],
        ["${HOME}/x", "@{upstream}", "%{http_code}", "{{question}}", "{}", "{0}", "{a,b}", "x{3}"],
        ["f'{x}'", "\\frac{a}"],
    ],
)
def test_braces_and_variables_of_other_languages_are_let_through(tmp_path: Path, words: list[str]) -> None:
    assert own_evaluation({"command": ["true", *words]}, tmp_path, "")["command"] == ["true", *words]


@pytest.mark.parametrize(
    "code",
    [
        "try:\n    from fast import judge\nexcept ImportError:\n    def judge(item, output): return True",
        "from typing import Callable\njudge: Callable = lambda item, output: True",
        "if True:\n    judge, other = (lambda item, output: True), 1",
        "from rest import *",
    ],
)
def test_a_judge_is_found_however_a_file_defines_it(tmp_path: Path, code: str) -> None:
    (tmp_path / "rest.py").write_text("def judge(item, output): return True\n")
    benchmark = OwnPython(own_of(tmp_path / "mine.py", f"{GOOD.split('def judge')[0]}\n{code}\n"))
    assert score(benchmark, benchmark.items(None), [Reply("")])[1][0]["correct"]


def test_bytes_of_the_file_and_of_what_it_imports_are_its_identity(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("A = 1\n")
    own = own_of(tmp_path / "mine.py", "import helper\n" + GOOD)
    check_unchanged(own)
    (tmp_path / "helper.py").write_text("A = 2\n")
    assert OwnEvaluation(**own_evaluation("./mine.py", tmp_path, "")).identity() != own.identity()
    with pytest.raises(BenchmarkError, match="changed since it was planned"):
        check_unchanged(own)


@pytest.mark.parametrize("named", ["--items=items.jsonl", "items.jsonl"])
def test_files_that_a_command_names_in_any_way_are_its_identity(tmp_path: Path, named: str) -> None:
    (tmp_path / "pack/sub").mkdir(parents=True)
    names = ("score.py", "items.jsonl", "pack/sub/part.py", "pack/near.py", "pack/far.py")
    files = [tmp_path / name for name in names]
    for file in files:
        file.write_text("1")
    files[2].write_text("from ..near import x\nfrom pack.far import y\n1")
    for command, read in (
        (["python", "score.py", named], files[:2]),
        (["python", "-m", "score", named], files[:2]),
        (["python", "-m", "pack.sub.part"], files[2:]),
    ):
        marks = [own_evaluation({"command": command}, tmp_path, "")]
        for file in read:
            file.write_text(file.read_text() + "1")
            marks.append(own_evaluation({"command": command}, tmp_path, ""))
        assert len({mark["sha256"] for mark in marks}) == len(marks)


@pytest.mark.parametrize(
    ("command", "file"),
    [
        (["python", "-m", "pack.part"], "pack/__init__.py"),
        (["python", "-m", "pack"], "pack/__init__.py"),
        (["python", "-m", "pack"], "pack/__main__.py"),
        (["python", "-mpack.part"], "pack/part.py"),
        (["python", "-um", "pack.part"], "pack/part.py"),
        (["python", "-X", "dev", "-umpack.part"], "pack/__init__.py"),
        (["python", "pack"], "pack/__main__.py"),
        (["python", "-c", "1", "--a=b=cases.json"], "cases.json"),
        (["python", "good.py", "--cfg=pack/above.py"], "pack/above.py"),
        (["python", "-u", "good.py", "two.py"], "two.py"),
        (["python", "-c", "1", "two.py"], "two.py"),
        (["tool", "-m", "two"], "two.py"),
        (["bash", "-c", "cd pack && python part.py"], "pack/part.py"),
        (["bash", "-c", "cd pack && python part.py"], "pack/near.py"),
        (["timeout", "9", "/bin/sh", "-euc", "set -x\npython -um pack.part | tee x; exit"], "pack/part.py"),
        (["zsh", "-lc", "A=1 python good.py <cases.json 2>&1 || cat 'two.py'"], "two.py"),
        (["sh", "-c", "(cd pack && true) && python good.py"], "good.py"),
        (["sh", "-c", "cd pack # it's there\n python \\\n part.py"], "pack/part.py"),
        (["sh", "-c", "cat <<E\nit's\nE\n python good.py"], "good.py"),
    ],
)
def test_a_file_that_a_command_runs_or_reads_is_its_identity_however_it_is_named(
    tmp_path: Path, command: list[str], file: str
) -> None:
    (tmp_path / "pack").mkdir()
    for name in ("pack/__init__.py", "pack/__main__.py", "pack/near.py", "good.py", "cases.json"):
        (tmp_path / name).write_text("1")
    (tmp_path / "pack/part.py").write_text("import near\nfrom . import near\n")
    (tmp_path / "pack/above.py").write_text("from ..x import y\n")
    (tmp_path / "two.py").write_text("print 'data of Python 2'\n")
    before = own_evaluation({"command": command}, tmp_path, "")
    (tmp_path / file).write_text((tmp_path / file).read_text() + "\n2")
    assert own_evaluation({"command": command}, tmp_path, "")["sha256"] != before["sha256"]


def test_a_judge_that_takes_an_async_one_s_place_is_one(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("async def judge(item, output): ...\n" + GOOD)
    assert own_evaluation("mine.py", tmp_path, "")["name"] == "mine"


def test_rows_as_data_sets_have_them_are_items(tmp_path: Path) -> None:
    more = "'messages': [{'role': 'user', 'content': 'q'}], 'note': float('nan'), 'gold': 'a'"
    benchmark = OwnPython(own_of(tmp_path / "mine.py", GOOD.replace("'gold': 'a'", more)))
    _, rows = score(benchmark, benchmark.items(None), [Reply("a")])
    assert rows[0]["correct"]


@pytest.mark.parametrize(
    "command",
    [
        ["true", "--template=Q:{question}"],
        ["true", "out-{seed}.json"],
        ["true", "s3://b/{date}/x"],
        ["/opt/conda/envs/x/bin/python", "mine.py"],
    ],
)
def test_a_word_that_may_be_the_program_s_own_or_another_machine_s_is_taken(
    tmp_path: Path, command: list[str]
) -> None:
    (tmp_path / "mine.py").write_text(GOOD)
    found = own_evaluation({"command": command}, tmp_path, "")
    assert any("not on this machine" in line for line in doubts(found)) == command[0].startswith("/opt")


def test_what_a_shell_writes_and_a_program_that_is_no_path_are_not_a_command_s_files(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text("1")
    for text in ("true > log.txt", "true 2>>log.txt", "true | tee log.txt; cat log.txt", "x = 1\n" * 99):
        command = ["bash", "-c", text]
        assert own_evaluation({"command": command}, tmp_path, "")["sha256"].startswith("4f53cda18c2b")


@pytest.mark.parametrize("command", [["-u", "bad.py"], ["-W", "ignore", "bad.py"], ["-mbad"], ["-m", "bad"]])
def test_what_python_would_run_and_cannot_is_refused_when_it_is_planned(
    tmp_path: Path, command: list[str]
) -> None:
    (tmp_path / "bad.py").write_text("def items(:")
    with pytest.raises(SpecError, match="is no valid Python"):
        own_evaluation({"command": ["python3.12", *command]}, tmp_path, "")


def test_the_digest_of_a_command_s_files_is_pinned_by_literals(tmp_path: Path) -> None:
    (tmp_path / "pack").mkdir()
    for name in ("score.py", "helper.py", "items.jsonl", "pack/__init__.py", "pack/part.py", "pack/near.py"):
        (tmp_path / name).write_text(
            {"score.py": "import helper", "pack/part.py": "from . import near"}.get(name, "")
        )
    found = [
        own_evaluation({"command": command}, tmp_path, "")["sha256"][:12]
        for command in (
            ["true"],
            ["python", "score.py", "{model}", "--items=items.jsonl"],
            ["python", "-m", "pack.part", "score.py"],
            ["python", "-m", "pack.near"],
        )
    ]
    assert found == ["4f53cda18c2b", "2b41d45fad93", "3ffdce49af82", "4cb929586904"]


def test_a_command_is_given_the_model_and_prints_or_writes_its_metrics(tmp_path: Path) -> None:
    code = "import json, os, sys; print('working'); print(json.dumps({'n': len(sys.argv[1]), 'x': {'value': .5}}))"
    entry = {"command": [sys.executable, "-c", code, "{model}"], "name": "mine"}
    own = OwnEvaluation(**own_evaluation(entry, tmp_path, ""))
    found = run_command(own, None, "/model", lambda: False)
    assert {name: metric.value for name, metric in found.items()} == {"n": 6.0, "x": 0.5}
    target: Any = SimpleNamespace(url="http://x/v1", key=None, model="m")
    code = "import os; open(os.environ['TOOLRL_OUTPUT'], 'w').write('{\"u\": %d}' % len(os.environ['OPENAI_BASE_URL']))"
    own = OwnEvaluation(name="mine", command=(sys.executable, "-c", code), folder=str(tmp_path))
    assert run_command(own, target, "m", lambda: False)["u"].value == 11.0
    code = "import os; open(os.environ['TOOLRL_OUTPUT'], 'wb').write(b'{\"u\": \"\\xff\"}')"
    own = OwnEvaluation(name="mine", command=(sys.executable, "-c", code), folder=str(tmp_path))
    with pytest.raises(BenchmarkError, match="left no metrics"):
        run_command(own, target, "m", lambda: False)
    own = OwnEvaluation(name="mine", command=(sys.executable, "-c", "exit(4)"), folder=str(tmp_path))
    with pytest.raises(BenchmarkError, match="status 4"):
        run_command(own, None, "m", lambda: False)
    own = OwnEvaluation(
        name="mine", command=(sys.executable, "-c", "input(); import time; time.sleep(60)"), folder="/"
    )
    with pytest.raises(BenchmarkError):
        run_command(own, None, "m", lambda: False)


def test_a_command_imports_what_lies_beside_it_and_is_stopped_by_that_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", importable(None))  # as an attempt has it
    (tmp_path / "beside.py").write_text("X = 0.5")
    (tmp_path / "mine.py").write_text("import beside, json; print(json.dumps({'x': beside.X}))")
    own = OwnEvaluation(**own_evaluation({"command": [sys.executable, "mine.py"]}, tmp_path, ""))
    assert run_command(own, None, "m", lambda: False)["x"].value == 0.5
    slow = OwnEvaluation(name="slow", command=("sleep", "60"), folder=str(tmp_path))
    with pytest.raises(InterruptedError):
        run_command(slow, None, "m", lambda: True)


def test_a_command_s_home_is_the_same_where_it_is_planned_and_where_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "score.py").write_text("import sys; print('{\"x\": %d}' % len(open(sys.argv[1][6:]).read()))")
    (tmp_path / "cases").write_text("12")
    entry = {"command": [sys.executable, "~/score.py", "--inp=~/cases"]}
    own = OwnEvaluation(**own_evaluation(entry, Path("/"), ""))
    assert run_command(own, None, "m", lambda: False)["x"].value == 2.0


def test_a_command_writes_into_a_folder_that_is_kept_and_not_into_a_file_that_is_its_identity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "import os, sys; open(sys.argv[1].split('=')[-1], 'wb').write(os.urandom(9)); print('{\"x\": 1}')"
    (tmp_path / "score.py").write_text(code)
    told = r"details\.json changed while .*\{output\}/details\.json"
    for named in ("details.json", "--out=details.json"):
        for _ in ("it was not there", "it was there"):
            with pytest.raises(BenchmarkError, match=told) as caught:
                scores_of(tmp_path, [sys.executable, "score.py", named])
            assert "have changed since" not in str(caught.value)
        (tmp_path / "details.json").unlink()
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        scores_of(Path(), [sys.executable, "score.py", "--out={output}/details.json"])
    (kept,) = tmp_path.rglob("details.json")
    assert kept.parts[-3:-1] == ("output", "files")


def test_code_that_changed_while_a_command_ran_gives_no_score(tmp_path: Path) -> None:
    (tmp_path / "score.py").write_text("open('score.py', 'a').write('#'); print('{\"x\": 1}')")
    with pytest.raises(BenchmarkError, match="changed since it was planned"):
        scores_of(tmp_path, [sys.executable, "score.py"])


def test_scores_of_a_command_claim_no_sampling(tmp_path: Path) -> None:
    (tmp_path / "score.py").write_text("print('{\"x\": 1}')")
    assert scores_of(tmp_path, [sys.executable, "score.py"])["sampling"] is None


def test_scores_of_a_command_are_of_another_version_where_its_words_are_others(tmp_path: Path) -> None:
    (tmp_path / "score.py").write_text("print('{\"x\": 1}')")
    easy, hard, again = (
        scores_of(tmp_path, [sys.executable, "score.py", f"--split={split}"])
        for split in ("easy", "hard", "easy")
    )
    assert easy == again and easy["version"] != hard["version"]


def test_other_questions_are_other_data(tmp_path: Path) -> None:
    questions = [Item("0", "c", [{"role": "user", "content": text}]) for text in ("a", "b")]
    assert len({_questions([one]) for one in [*questions, questions[0]]}) == 2


@pytest.mark.parametrize(
    "text",
    [
        *("", "done", "[1]", "{}", '{"a b": 1}', '{"a": "x"}', '{"a": true}', '{"a": NaN}'),
        b'{"a": "\xff\xfe"}',
        pytest.param(f'{{"a": 1{"0" * 400}}}', id="400 digits"),
        pytest.param(f'{{"a": 1{"0" * 5000}}}', id="5000 digits"),
        pytest.param("[" * 100_000, id="deep"),
        *('{"a": 1, "a": 2}', '{"a": {"value": 1, "value": 2}}'),
        '{"a": {"value": 0.5, "correct": 1}}',
        '{"a": {"value": 0.5, "total": 1}}',
        '{"a": {"value": 0.5, "corect": 1, "totl": 2}}',
        '{"a": {"value": 0.5, "correct": 3, "total": 2}}',
        '{"a": {"value": 0.5, "correct": 1.0, "total": 2}}',
    ],
)
def test_metrics_that_are_none_are_refused(text: str | bytes) -> None:
    with pytest.raises(BenchmarkError, match="evaluate: mine") as caught:
        metrics_of(text, "evaluate: mine")
    assert len(str(caught.value)) < 250


OBJECT = """
from toolrl_cli.spec.evaluations.benchmarks import Ask, Benchmark, CannotRun, Item, Metric, Reply, Session, Verdict
from contextlib import contextmanager
from pathlib import Path


class Talks(Session):
    def converse(self, item):
        first = yield Ask(item.messages, max_tokens=3)
        print("this goes to the log")
        if item.id == "gone":
            raise CannotRun("the search is gone")
        if item.id == "bad":
            raise KeyError("oops")
        second = yield Ask([{"role": "user", "content": first.text + "?"}])
        return Reply(second.text, {"turns": [first.text, second.text]}, second.stop)


class Mine(Benchmark):
    name, protocol, also = "mine", "p", ("strict",)

    def items(self, data, folder=None):
        ids = Path(__file__).with_suffix(".txt").read_text().split()
        return [Item(id, "c", [{"role": "user", "content": id}], {"a": 1}) for id in ids]

    @contextmanager
    def session(self, scratch, ctx):
        yield Talks()
        Path(__file__).with_suffix(".closed").touch()

    def judge(self, item, reply):
        right = item.gold == {"a": 1} and len(reply.record["turns"]) == 2
        return Verdict("" if right else "no", [{"name": "f"}], {"strict": reply.stop == "stop"})

    def metrics(self, items, verdicts):
        return {**super().metrics(items, verdicts), "calls": Metric(float(sum(len(v.calls) for v in verdicts if v)))}


BENCHMARK = Mine()
"""


def talk(folder: Path, ids: str) -> tuple[OwnPython, Sequence[Item], dict[str, Reply], dict[str, NotRun]]:
    """Items of the object above, asked of a model that repeats what it hears."""

    def handler(request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        choice = {"message": {"content": body["messages"][-1]["content"] + "!"}, "finish_reason": "stop"}
        return httpx.Response(200, json={"choices": [choice]})

    benchmark = OwnPython(own_of(folder / "mine.py", OBJECT), seconds=30)
    (folder / "mine.txt").write_text(ids)
    items = benchmark.items(None)
    answers = Answers(folder, {})

    async def ask(session: Session) -> dict[str, NotRun]:
        async with Client(
            Target("http://there/v1", "m"), EvaluateSpec(), httpx.MockTransport(handler)
        ) as client:
            return await Driver(client, session, answers, 4).ask_all(items, lambda: False)

    with benchmark.session(folder, EvaluationContext()) as session, answers:
        not_run = asyncio.run(ask(session))
    return benchmark, items, {i.id: r for i in items if (r := answers.reply(i))}, not_run


def test_a_benchmark_object_in_a_file_leads_its_conversations_judges_and_counts(tmp_path: Path) -> None:
    benchmark, items, replies, not_run = talk(tmp_path, "one two gone")
    assert replies["two"] == Reply("two!?!", {"turns": ["two!", "two!?!"]}, "stop")
    assert not_run == {"gone": NotRun("the search is gone", owed=True)}
    assert (tmp_path / "mine.closed").exists()
    scores, rows = score(benchmark, items, [*replies.values(), not_run["gone"]])
    assert scores["metrics"]["calls"]["value"] == 2.0 and scores["metrics"]["c"]["value"] is None
    assert [(row["correct"], row["correct_strict"]) for row in rows] == [
        (True, True),
        (True, True),
        (None, None),
    ]


def test_a_fault_in_its_conversation_ends_the_evaluation_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"mine.py: converse, item bad: raised KeyError: 'oops'$"):
        talk(tmp_path, "one bad")
    (tmp_path / "mine.txt").write_text("other")
    with pytest.raises(BenchmarkError, match="does not give the same items each time: 'one' is gone"):
        OwnPython(own_of(tmp_path / "mine.py", OBJECT)).judge(Item("one", "c", []), Reply(""))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("BENCHMARK = Mine()", ""), "Mine is a class and no object: add BENCHMARK = Mine()"),
        (("BENCHMARK = Mine()", "a, b = Mine(), Mine()"), "holds several benchmarks (a, b)"),
        (
            ("name, protocol, also =", 'source = "bfcl"\n    name, protocol, also ='),
            "`source` of a benchmark in a file of one's own",
        ),
        (("def session(self, scratch, ctx)", "def data(self, run)"), "`data` of a benchmark"),
        (("def session(self, scratch, ctx)", "def right(self, v, rule='')"), "let `judge` say what is right"),
    ],
)
def test_an_object_that_would_not_be_used_as_it_is_written_is_refused(
    tmp_path: Path, change: tuple[str, str], told: str
) -> None:
    with pytest.raises(BenchmarkError, match=re.escape(told)):
        OwnPython(own_of(tmp_path / "mine.py", OBJECT.replace(*change))).items(None)


def test_a_function_beside_an_object_of_another_file_is_refused_and_a_helper_of_an_own_class_is_not(
    tmp_path: Path,
) -> None:
    (tmp_path / "other.py").write_text(OBJECT)
    (tmp_path / "other.txt").write_text("one")
    (tmp_path / "mine.txt").write_text("one")
    with pytest.raises(BenchmarkError, match="`judge` is never called beside a Mine: make it a method"):
        OwnPython(
            own_of(
                tmp_path / "mine.py",
                "from other import BENCHMARK\ndef judge(item, output): return True\n",
            )
        ).items(None)
    assert OwnPython(own_of(tmp_path / "mine.py", "from other import BENCHMARK\n")).items(None)
    assert OwnPython(own_of(tmp_path / "mine.py", f"{OBJECT}\ndef judge(): pass\n")).items(None)


@pytest.mark.parametrize(
    ("metric", "told"),
    [
        ("Metric(float('nan'))", "calls: nan is no number"),
        ("Metric(10**400)", "calls: 1000"),
        ("Metric(True)", "calls: True is no number"),
        ("Metric(0.5, 3, 2)", "calls: 3 are right of 2"),
        ("Metric(0.5, 1)", "calls: 1 are right of None"),
        ("Metric(0.5, 0.5, 2)", r"calls: correct and total are whole numbers, not \[0.5, 2\]"),
        ("Metric(None, None, 3, 'gone')", ""),
        ("Metric(0.5, None, 3)", ""),
    ],
)
def test_metrics_of_an_object_are_held_to_what_can_be_read(tmp_path: Path, metric: str, told: str) -> None:
    (tmp_path / "mine.txt").write_text("one")
    code = OBJECT.replace("Metric(float(sum(len(v.calls) for v in verdicts if v)))", metric)
    benchmark = OwnPython(own_of(tmp_path / "mine.py", code))
    items = benchmark.items(None)
    with pytest.raises(BenchmarkError, match=told) if told else nullcontext():
        assert "calls" in benchmark.metrics(items, [Verdict(also={"strict": True})])


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ('["true", "--suite=all"]', ["mine names no file, so an edit of what it runs is not noticed"]),
        ('[bash, -c, "python score.py"]', []),
        ("[pythn, score.py]", ["mine runs pythn, which is not found on this machine's PATH"]),
    ],
)
def test_what_is_doubtful_of_a_command_is_said_when_it_is_planned(
    tmp_path: Path, command: str, told: list[str]
) -> None:
    (tmp_path / "score.py").touch()
    entry = f"{{command: {command}, name: mine}}"
    sweep = f"name: s\nbase: {{preset: tiny_grpo, train: []}}\nevaluate: [{entry}]\nseeds: [1, 2]\n"
    (tmp_path / "s.yaml").write_text(sweep)
    resolved = resolve_sweep(read_sweep(tmp_path / "s.yaml"))
    assert resolved.grid.warnings == [f"evaluate: {line}" for line in told]
