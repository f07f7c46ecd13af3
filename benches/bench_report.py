"""Speed of the report on a large sweep, side by side with the usual pandas script over the same files.

    python benches/bench_report.py [--runs 1000] [--steps 105] [--metrics 60]

A result tree is made in a temporary folder (about 290 MB at the default size), then each side runs in a process of
its own, start-up included: table T6 by pandas and SciPy as one would write it for a paper, the same table by
`toolrl_cli.report` with intervals, ties and corrected tests, and every format with all figures. Means and
intervals of the first two must agree. Where there is a Chromium it opens the page. Exit status 1: a bound does not
hold, or the numbers differ.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the builder of result trees is the tests'
from tests.report.builder import Tree, bfcl_scores

ROOT = Path(__file__).resolve().parents[1]
TABLE_S, TABLE_MB, ALL_S, PAGE_MB, OPEN_S = 3.0, 500.0, 30.0, 10.0, 2.0
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
MODELS = ("qwen2.5-1.5b-instruct", "qwen2.5-3b-instruct", "llama-3.2-3b-instruct")
REWARDS = ("original", "equal_max", "two_stage", "dynamic")

PANDAS = """
import json, sys
from pathlib import Path
import pandas as pd
from scipy import stats

root, rows = Path(sys.argv[1]), []
plan = json.loads((root / "sweeps/demo/plan.json").read_text())
for run in plan["runs"]:
    for stage in run["stages"]:
        path = root / "stages/evaluate" / stage / "output/scores.json"
        if path.exists():
            scores = json.loads(path.read_text())
            row = {name: m["value"] for name, m in scores["metrics"].items()}
            rows.append({"arm": run["arm"], "seed": run["seed"], **row})
frame = pd.DataFrame(rows).drop(columns="seed").melt("arm", var_name="column").dropna()
frame["value"] = 100 * frame["value"].astype(float)
table = frame.groupby(["arm", "column"])["value"].agg(["mean", "sem", "count"])
table["ci"] = table["sem"] * stats.t.ppf(0.975, table["count"] - 1)
out = {f"{arm} {column}": [row["mean"], row["ci"]] for (arm, column), row in table.iterrows()}
print(json.dumps(out))
"""

OURS = """
import sys
from pathlib import Path
from toolrl_cli.report.api import build_report

report = build_report(Path(sys.argv[1]), ["demo"], ["T6"])
report.render("terminal")
print(report.render("json"))
"""

EVERYTHING = """
import sys
from pathlib import Path
from toolrl_cli.report.api import build_report

written = build_report(Path(sys.argv[1]), ["demo"], ["T6"]).write_report(Path(sys.argv[1]) / "report")
print("\\n".join(map(str, written)))
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=105)
    parser.add_argument("--metrics", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3, help="the best of so many counts")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="toolrl-bench-") as folder:
        started = time.perf_counter()
        root = make_tree(Path(folder), options.runs, options.steps, options.metrics)
        size = sum(p.stat().st_size for p in root.rglob("*") if p.is_file()) / 1e6
        told = f"{options.runs} runs × {options.steps} steps × {options.metrics} metrics"
        print(f"{told}, {size:.0f} MB, made in {time.perf_counter() - started:.0f} s\n")
        theirs, pandas_s, *pandas = best(PANDAS, root, options.rounds)
        ours, table_s, *table = best(OURS, root, options.rounds)
        written, all_s, *everything = best(EVERYTHING, root, 1)
        page = next(Path(p) for p in written.split() if p.endswith(".html"))
        page_mb = page.stat().st_size / 1e6
        open_s = opening(page)
        print(f"{'':34}{'seconds':>9}{'of CPU':>9}{'peak MB':>9}")
        for name, seconds, (cpu, peak) in (
            ("pandas script, means and intervals", pandas_s, pandas),
            ("toolrl, table T6 with tests", table_s, table),
            ("toolrl, all formats and figures", all_s, everything),
        ):
            print(f"{name:34}{seconds:9.2f}{cpu:9.2f}{peak:9.0f}")
        told = "no Chromium here to open it" if open_s is None else f"opened and drawn in {open_s:.2f} s"
        print(f"HTML page {page_mb:.1f} MB, {told}")
        wrong = disagreements(json.loads(theirs), json.loads(ours))
    failures = [f"{len(wrong)} numbers differ, first {wrong[0]}"] if wrong else []
    for what, value, bound in (
        ("table seconds", table_s, TABLE_S),
        ("table MB", table[1], TABLE_MB),
        ("all formats, seconds", all_s, ALL_S),
        ("page MB", page_mb, PAGE_MB),
        ("page seconds", open_s or 0.0, OPEN_S),
    ):
        if value > bound:
            failures.append(f"{what}: {value:.1f} is over {bound}")
    print("\n" + ("\n".join(failures) if failures else "all bounds hold; the numbers agree"))
    return 1 if failures else 0


def make_tree(folder: Path, runs: int, steps: int, metrics: int) -> Path:
    """A finished T6 sweep with reward curves and as many other metrics as verl logs."""
    draw = random.Random(0)
    tree = Tree(folder / "results")
    sweep = tree.sweep("demo", ["T6"])
    others = [f"actor/metric_{i}/mean" for i in range(metrics - 8)]
    for number in range(runs):
        model, reward = MODELS[number % 3], REWARDS[number // 3 % 4]
        seed = number // 12
        run = sweep.run(
            f"{model}-{reward}", seed, model=model, reward=reward, benchmarks=("bfcl",), steps=steps
        )
        run.done(
            bfcl_scores(0.45 + draw.gauss(0, 0.02) - 0.02 * (reward == "two_stage")),
            "bfcl",
            protocol="bfcl_v3",
        )
        rows = {}
        for step in range(1, steps + 1):
            form, correct = min(1.0, step / steps), 3 * step / steps - 1 + draw.gauss(0, 0.2)
            rows[step] = dict.fromkeys(others, draw.random()) | {
                "reward/total/mean": form + correct,
                "reward/format/raw/mean": form,
                "reward/format/weighted/mean": form,
                "reward/correctness/raw/mean": correct,
                "reward/correctness/weighted/mean": correct,
                "response_length/mean": 200 + draw.gauss(0, 10),
                "critic/score/mean": form + correct,
                "val-reward/total/mean": form + correct,
            }
        run.metrics(rows)
    return tree.write()


def best(code: str, root: Path, rounds: int) -> tuple[str, float, float, float]:
    """Output, wall time, CPU time and peak MB of a script in a process of its own; the fastest round."""
    results = []
    for _ in range(rounds):
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(root)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"the script failed:\n{code}")
        cpu = usage.ru_utime + usage.ru_stime
        results.append((output, time.perf_counter() - started, cpu, usage.ru_maxrss / 1024))
    return min(results, key=lambda r: r[1])


def opening(page: Path) -> float | None:
    """Seconds from the start of loading a page to the first frame after its scripts; None without a browser."""
    if CHROMIUM is None:
        return None
    probe = (
        "<script>requestAnimationFrame(() => { document.title = `drawn ${performance.now()}`; });</script>"
    )
    copy = page.with_name("timed.html")
    copy.write_text(page.read_text(encoding="utf-8").replace("</body>", f"{probe}</body>"), encoding="utf-8")
    command = [
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={page.parent}/profile",
    ]
    command += ["--window-size=1600,1000", "--timeout=10000", "--dump-dom", copy.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r"<title>drawn ([\d.]+)</title>", done.stdout)
    if found is None:
        raise SystemExit("the page was not drawn")
    return float(found[1]) / 1000


def disagreements(theirs: dict[str, list[float]], ours: dict) -> list[str]:
    """Cells whose mean or interval differs by more than the rounding."""
    labels = {
        "Original": "original",
        "Equal max": "equal_max",
        "Two stage": "two_stage",
        "Dynamic": "dynamic",
    }
    wrong, seen = [], 0
    for row in ours["tables"][0]["rows"]:
        model, label = row["arm"].split(" / ")
        for column, cell in row["cells"].items():
            known = theirs.get(f"{model}-{labels[label]} {column}")
            if known is None or cell["mean"] is None:
                if known is not None or cell["mean"] is not None:
                    wrong.append(f"{row['arm']} {column}")
                continue
            seen += 1
            if abs(cell["mean"] - known[0]) > 0.0051 or abs((cell["ci"] or 0) - known[1]) > 0.0051:
                wrong.append(f"{row['arm']} {column}")
    return wrong if seen else ["no cell in common"]


if __name__ == "__main__":
    sys.exit(main())
