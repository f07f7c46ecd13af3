"""The Ray launcher over a stand-in for the cluster; tests/e2e has the real one."""

from __future__ import annotations

import json
import re
import shlex
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_ray import TOKEN, FakeRay, fake_ray
from tests.support.stages import FUNCTIONS, ROOT, Stages, eventually, leave_lease
from toolrl_cli.errors import LaunchError
from toolrl_cli.harness.launcher import LaunchLater, LaunchPlan, LaunchRequest, Seen
from toolrl_cli.harness.ray import job, lost, states, view
from toolrl_cli.harness.ray.launcher import RayLauncher, attempt_dir
from toolrl_cli.harness.ray.preview import preview
from toolrl_cli.harness.ray.request import job_request, places_of, request_of
from toolrl_cli.harness.ray.settings import RaySettings
from toolrl_cli.harness.reach import Reach
from toolrl_cli.harness.scheduling import scheduler as scheduler_module
from toolrl_cli.harness.scheduling.events import Event, Outcome
from toolrl_cli.harness.scheduling.scheduler import Scheduler
from toolrl_cli.harness.scheduling.scheduler_options import Options
from toolrl_cli.harness.starting import AttemptOptions, Started, start_attempt
from toolrl_cli.processes.process_id import ProcessId
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.store.state import Handle, StageState


@dataclass
class Site:
    """The stand-in, and what is done on it."""

    ray: FakeRay
    ledger: Ledger
    stages: Stages

    def launcher(self, **settings: Any) -> RayLauncher:
        given = {"address": self.ray.address, "poll": 0.05, "delay": 0.0, **settings}
        return RayLauncher(RaySettings.model_validate(given))

    def start(self, spec: StageSpec, function: str = "finish") -> Handle:
        options = AttemptOptions({spec.kind: f"{FUNCTIONS}:{function}"}, heartbeat=0.1)
        started = start_attempt(self.ledger.folder(spec), spec, self.launcher(), (), options)
        assert isinstance(started, Started) and started.state.launcher is not None
        return started.state.launcher

    def run(self, specs: list[StageSpec], function: str = "finish") -> tuple[Outcome, list[Event]]:
        events: list[Event] = []
        functions = {spec.kind: f"{FUNCTIONS}:{function}" for spec in specs}
        options = Options(functions=functions, heartbeat=0.1, progress_interval=0.05)
        scheduler = Scheduler(specs, self.ledger, self.launcher(), options=options, observe=events.append)
        return scheduler.run(), events

    def seen(self, handle: Handle) -> Seen:
        (seen,) = self.launcher().poll([handle])
        return seen

    def state(self, spec: StageSpec) -> StageState:
        return self.ledger.read(spec)

    def submissions(self) -> int:
        return self.ray.calls.count("POST /api/jobs/")


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch, ledger: Ledger, stages: Stages) -> Iterator[Site]:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    monkeypatch.setattr(view, "DOWN", 0.1)
    monkeypatch.setattr(view, "FRESH", 0.02)
    monkeypatch.setattr(scheduler_module, "LATER", 0.05)
    with fake_ray() as cluster:
        yield Site(cluster, ledger, stages)


def test_a_submission_whose_answer_was_lost_is_not_made_again(site: Site) -> None:
    spec = site.stages("a")
    site.ray.hold = site.ray.lost = True
    with pytest.raises(LaunchLater, match="Ray does not answer"):
        start_attempt(site.ledger.folder(spec), spec, site.launcher(), ())
    site.ray.lost = False
    handle = site.start(spec)
    assert list(site.ray.jobs) == [handle["job"]] and site.state(spec).attempt == 1
    site.ray.release()
    eventually(lambda: site.seen(handle).phase == "ended")


def test_a_queued_job_that_is_cancelled_does_nothing_when_its_turn_comes(site: Site) -> None:
    spec = site.stages("a")
    site.ray.hold = True
    handle = site.start(spec)
    assert site.seen(handle).phase == "queued" and Reach().cancel(handle)
    seen = site.seen(handle)
    assert seen.phase == "ended" and seen.failure == states.CANCELLED
    site.ray.release()
    eventually(lambda: site.ray._look(handle["job"])["status"] == "FAILED")
    assert site.seen(handle) == seen
    assert "was cancelled while its job waited" in (attempt_dir(handle) / "ray.txt").read_text()
    assert not (attempt_dir(handle) / "log.txt").exists()


def test_a_job_that_ray_gave_up_for_its_waiting_waits_again_and_is_no_failure(site: Site) -> None:
    spec = site.stages("a")
    site.ray.hold = True
    outcome: list[tuple[Outcome, list[Event]]] = []
    work = threading.Thread(target=lambda: outcome.append(site.run([spec])), daemon=True)
    work.start()
    eventually(lambda: site.state(spec).launcher)
    (called,) = site.ray.jobs
    asked = {**site.ray.jobs[called]}
    site.ray.give_up(called)
    assert Reach().poll([site.state(spec).launcher or {}])[0].phase == "queued"
    eventually(lambda: site.ray.jobs.get(called, {}).get("status") == "PENDING")
    assert site.ray.jobs[called] == asked
    site.ray.release()
    work.join(30)
    assert outcome[0][0].exit_code == 0 and site.state(spec).attempt == 1
    assert any("was submitted again" in event.message for event in outcome[0][1])


def test_a_job_that_another_harness_is_submitting_again_is_not_taken_for_lost(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = site.stages("a")
    site.ray.hold = True
    handle = site.start(spec)
    (called,) = site.ray.jobs
    deleted = site.ray.jobs.pop(called)
    monkeypatch.setattr(view.time, "sleep", lambda seconds: site.ray.jobs.update({called: deleted}))
    assert Reach().poll([handle])[0].phase == "queued"


def test_nothing_is_started_twice_while_the_head_is_down(site: Site) -> None:
    spec, held = site.stages("a"), site.stages("b")
    handle = site.start(held, "sleep")
    eventually(lambda: site.state(held).status == "running")
    site.ray.down = True
    work = threading.Thread(target=lambda: site.run([spec, held]), daemon=True)
    work.start()
    before = len(site.ray.calls)
    eventually(lambda: len(site.ray.calls) > before + 6)
    assert Reach().poll([handle])[0].phase == "unknown"
    site.ray.down = False
    eventually(lambda: site.state(spec).status == "succeeded")
    Reach().cancel(handle)
    work.join(30)
    assert [(site.state(s).attempt, site.state(s).status) for s in (spec, held)] == [
        (1, "succeeded"),
        (1, "stopped"),
    ]


def test_an_attempt_that_outlives_its_cluster_is_followed_and_can_be_stopped(site: Site) -> None:
    spec = site.stages("a")
    handle = site.start(spec, "sleep")
    eventually(lambda: site.state(spec).status == "running")
    site.ray.restart_head()
    assert site.seen(handle).phase == "running" and "runs on" in site.seen(handle).told
    assert Reach().cancel(handle)
    eventually(lambda: site.state(spec).status == "stopped")
    assert site.seen(handle) == Seen("ended")


def test_a_waiting_job_that_a_new_head_has_forgotten_is_owed_again(site: Site) -> None:
    spec = site.stages("a")
    site.ray.hold = True
    handle = site.start(spec)
    site.ray.restart_head()
    seen = site.seen(handle)
    assert seen.phase == "ended" and seen.failure is not None and seen.failure.kind == "preempted"
    site.ray.hold = False
    assert site.run([spec])[0].exit_code == 0 and site.state(spec).attempt == 2


def test_a_forgotten_attempt_elsewhere_has_ended_once_its_heart_stands_still(site: Site) -> None:
    spec = site.stages("a")
    site.ray.hold = True
    handle = site.start(spec)
    elsewhere = replace(ProcessId.current(), host="node7", boot="another")
    now = [0.0]
    judge = lost.Lost(60.0, clock=lambda: now[0])
    folder = site.ledger.folder(spec).path
    leave_lease(folder, elsewhere)
    assert judge.seen(handle).phase == "unknown"
    now[0] = 50.0
    assert judge.seen(handle).phase == "unknown"
    now[0] = 61.0
    seen = judge.seen(handle)
    assert seen.phase == "ended" and seen.failure is not None and seen.failure.kind == "infra"
    (folder / "lease").write_bytes(
        (folder / "lease").read_bytes().replace(b'"heartbeat": 1.0', b'"heartbeat": 2.0')
    )
    assert judge.seen(handle).phase == "running"


def test_a_folder_that_was_made_anew_does_not_get_the_end_of_an_earlier_life(site: Site) -> None:
    spec = site.stages("a")
    request = LaunchRequest(site.ledger.folder(spec).path, spec, 1, (), ProcessId.current())
    request.attempt_dir.mkdir(parents=True)
    site.ray.hold = True  # it has no process, which would end by itself
    handle = site.launcher().submit(request)
    with pytest.raises(LaunchError, match="earlier attempt in this folder still runs"):
        site.ray.jobs[handle["job"]]["status"] = "RUNNING"
        site.launcher().submit(request)
    site.ray.hold = False
    site.ray._over(handle["job"], "SUCCEEDED", "", None)
    assert site.launcher().submit(request) == handle
    assert site.ray.jobs[handle["job"]]["status"] == "RUNNING"


def test_an_attempt_that_cannot_begin_says_what_its_node_said(site: Site) -> None:
    launcher = site.launcher(python="/nowhere/python")
    other = site.stages("b")
    started = start_attempt(site.ledger.folder(other), other, launcher, ())
    handle = started.state.launcher
    assert handle is not None
    eventually(lambda: site.seen(handle).phase == "ended")
    failure = site.seen(handle).failure
    assert failure is not None and failure.kind == "infra" and "did not begin on its node" in failure.message
    assert "/nowhere/python: not found" in failure.message or "No such file" in failure.message


def test_a_wait_for_what_no_node_has_is_told_and_shown_by_plan(site: Site) -> None:
    spec = site.stages("a", config={"resources": {"device": "cuda"}}, slots=8)
    site.ray.hold = True
    handle = site.start(spec)
    said = "it asks for 8 GPU, and no node has more than 2"
    assert site.seen(handle).told == f"job {handle['job']} waits: {said}"
    settings = RaySettings(address=site.ray.address, kinds={"rl": {"memory": 4}})  # type: ignore[dict-item]
    (asked,) = preview(LaunchPlan("x", [spec], settings=settings), {})
    assert (asked.asks, asked.answer) == ("1 CPU, 8 GPU", f"{said}; it waits until one has")
    site.ray.down = True
    (asked,) = preview(LaunchPlan("x", [spec], settings=settings), {})
    assert asked.refused and "no head" in asked.answer


def test_a_job_over_several_nodes_takes_nothing_itself_and_holds_its_share_of_each(site: Site) -> None:
    cuda = {"resources": {"device": "cuda"}}
    spec = site.stages("a", kind="rl", config=cuda, slots=4, nodes=2, total_steps=1)
    given = {"kinds": {"rl": {"memory": 4, "resources": {"tpu": 1}, "labels": {"zone": "a"}}}}
    settings = RaySettings.model_validate({"address": site.ray.address, **given})
    body = job_request(LaunchRequest(Path("a"), spec, 1, (), ProcessId.current()), settings)
    assert not any(name.startswith("entrypoint_") for name in body)
    bundle = {"CPU": 1, "GPU": 2, "memory": 4 * 2**30, "tpu": 1}
    wanted = {"bundle": bundle, "labels": {"zone": "a"}, "nodes": 2, "prologue": []}
    assert places_of(spec, settings) == wanted
    assert (
        f"--places {shlex.quote(json.dumps(places_of(spec, settings)))}"
        in shlex.split(body["entrypoint"])[-1]
    )
    assert request_of({**body, "submission_id": "x"}) == {**body, "submission_id": "x"}
    plain = RaySettings(address=site.ray.address)
    (asked,) = preview(LaunchPlan("x", [spec], settings=plain), {})
    said = "it asks for 2 nodes, and 1 could run its part; it waits until there are"
    assert (asked.asks, asked.answer) == ("2 nodes, each 1 CPU, 2 GPU", said)
    site.ray.nodes = (*site.ray.nodes, {"CPU": 8, "GPU": 2})
    (asked,) = preview(LaunchPlan("x", [spec], settings=plain), {})
    assert asked.answer == "2 of 2 nodes could run it"


def test_a_wrong_token_is_named_with_what_to_set(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "wrong")
    spec = site.stages("a")
    with pytest.raises(LaunchError, match=r"wants another token.*RAY_AUTH_TOKEN_PATH"):
        start_attempt(site.ledger.folder(spec), spec, site.launcher(), ())
    (tmp_path / "token").write_text(TOKEN + "\n")
    right = site.launcher(token_file=str(tmp_path / "token"))
    started = start_attempt(site.ledger.folder(spec), spec, right, ())
    assert isinstance(started, Started)
    assert TOKEN not in (site.ledger.folder(spec).path / "state.json").read_text()
    assert Reach().poll([started.state.launcher or {}])[0].phase != "unknown"  # the handle says where it is


def test_a_job_leaves_the_cluster_and_keeps_what_a_site_says_of_ray() -> None:
    given = {
        **{"RAY_ADDRESS": "head:6379", "RAY_JOB_CONFIG_JSON_ENV_VAR": "{}", "RAY_CLIENT_MODE": "0"},
        **{"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "RAY_TMPDIR": "/scratch", "RAY_X": "mine"},
    }
    job.leave_cluster(given, ["RAY_X"])
    assert given == {"RAY_TMPDIR": "/scratch", "RAY_X": "mine"}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"address": "ray://head:10001"}, "drivers connect there"),
        ({"address": "head:6379"}, "drivers connect there"),
        ({"address": "http://me:pass@head:8265"}, "an address with a login would be written into results"),
        ({"resources": {"GPU": 2}}, "'GPU' is the setting `gpus`"),
        ({"resources": {"object_store_memory": 2}}, "nothing that a job asks for"),
        ({"env": {"RAY_ADDRESS": "auto"}}, "RAY_ADDRESS is Ray's or toolrl's own"),
        ({"env": {"a b": "c"}}, "no name of a variable"),
        ({"prologue": ["a\nb"]}, "more than one line"),
        ({"kinds": {"train": {}}}, "no kind of stage"),
        ({"adress": "http://head:8265"}, "adress"),
    ],
)
def test_a_setting_that_would_do_nothing_or_something_else_is_refused(
    settings: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        RaySettings.model_validate(settings)


def test_no_secret_of_this_machine_is_sent(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERPER_API_KEY", "s3cr3t")
    monkeypatch.setenv("HF_HOME", "/shared/hf")
    monkeypatch.setenv("HF_ENDPOINT", "https://me:s3cr3t@mirror")
    site.ray.hold = True
    handle = site.start(site.stages("a"))
    sent = site.ray.jobs[handle["job"]]
    assert sent["runtime_env"]["env_vars"]["HF_HOME"] == "/shared/hf"
    assert "s3cr3t" not in str(sent) and TOKEN not in str(sent)


def test_a_prologue_is_bashs(site: Site, tmp_path: Path) -> None:
    (tmp_path / "activate").write_text("export FROM_PROLOGUE=1\n")
    spec = site.stages("a")
    launcher = site.launcher(prologue=[f"source '{tmp_path}/activate'", "[[ $FROM_PROLOGUE == 1 ]]"])
    options = AttemptOptions({spec.kind: f"{FUNCTIONS}:finish"}, heartbeat=0.1)
    start_attempt(site.ledger.folder(spec), spec, launcher, (), options)
    eventually(lambda: site.ledger.read(spec).status == "succeeded")


def test_an_address_or_a_proxy_that_cannot_be_is_one_line(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(LaunchError, match="http://head:port"):
        site.launcher(address="http://head:port").submit(None)  # type: ignore[arg-type]
    monkeypatch.setenv("ALL_PROXY", "socks://127.0.0.1:9")
    (seen,) = site.launcher().poll([{"kind": "ray", "job": "a", "cluster": site.ray.address}])
    assert (seen.phase == "unknown" and "see `address`" in seen.told) or "proxy" in seen.told
