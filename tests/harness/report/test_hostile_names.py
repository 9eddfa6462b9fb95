"""A task whose names and labels are HTML: the page shows them as text and runs none of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support import task_directories

from harness.analysis.table.marks import find_marks
from harness.models.spec import ModelSpec
from harness.report.material import gather
from harness.report.page import write_page
from harness.run.engines import InlineEngine
from harness.run.execute import execute
from harness.run.plan import Settings, TaskSource, make_plan

TASK = "<img src=x onerror=alert(1)>"
MODEL = "</script><script>alert(2)</script>"
LABELS = (
    "<script>alert(3)</script>",
    "\"'><svg onload=alert(4)>",
    "</title></style></svg><script>alert(5)</script>",
    "javascript:alert(6)//{{7*7}}${alert(6)}",
)
CLIP = "<iframe srcdoc='&lt;script&gt;alert(7)&lt;&#47;script&gt;'>"
GROUP = "--><script>alert(8)</script><!--"


@pytest.fixture(scope="module")
def hostile_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of two models on a scene task and an event task with hostile names."""
    root = tmp_path_factory.mktemp("hostile")
    tasks = [_task(root, kind) for kind in ("scene", "events")]
    settings = Settings(
        models=(
            ModelSpec("harness.baselines.logmel", name=MODEL),
            ModelSpec("harness.baselines.random", name=f"{MODEL} too"),
        ),
        tasks=tuple(TaskSource(task, TASK) for task in tasks),
        protocols=("linear",),
        out=root / "run",
    )
    execute(make_plan(settings), InlineEngine("cpu"), settings.out)
    material = gather([settings.out])
    marks = find_marks(material.rows, material.results)
    page = root / "report.html"
    write_page(material, page, title=MODEL, audio_bytes=1_000_000, marks=marks)
    return page


def _task(root: Path, kind: str) -> Path:
    labels = LABELS if kind == "scene" else LABELS[:3]
    directory = task_directories.make_task(
        root, kind, n=8, seconds=1.0, classes=labels, name=f"{TASK}{kind}"
    )
    groups = {}
    for split in ("train", "valid", "test"):
        path = directory / f"{split}.json"
        truth = {f"{CLIP}{name}": labels for name, labels in json.loads(path.read_text()).items()}
        path.write_text(json.dumps(truth))
        for name in truth:
            clip = directory / "16000" / split / name
            clip.with_name(name.removeprefix(CLIP)).rename(clip)
            groups[name] = GROUP + split + name[-5:]
    rows = "".join(f'"{name}","{group}"\n' for name, group in groups.items())
    (directory / "groups.csv").write_text("clip,group\n" + rows)
    vocabulary = "".join(
        f'{i},"{label.replace(chr(34), chr(34) * 2)}"\n' for i, label in enumerate(labels)
    )
    (directory / "labelvocabulary.csv").write_text("idx,label\n" + vocabulary)
    return directory


def test_no_name_becomes_an_element(hostile_page: Path, browser) -> None:
    tab = browser.new_page(viewport={"width": 1280, "height": 900})
    alerts, complaints = [], []
    tab.on("dialog", lambda dialog: (alerts.append(dialog.message), dialog.dismiss()))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on("console", lambda message: complaints.append(message.text))
    # The page's own policy would also stop such scripts. They must not even be there.
    tab.route("**/*", lambda route: _without_policy(route, hostile_page))
    tab.goto(hostile_page.as_uri())
    for head in tab.locator("th, summary, button").all():
        if head.is_visible():
            head.click()
    tab.wait_for_timeout(200)
    assert alerts == []
    assert complaints == []
    assert tab.locator("iframe, [onerror], [onload], img[src=x]").count() == 0
    assert "alert(" not in "".join(tab.locator("script").all_text_contents())
    seen = tab.locator("body").text_content()
    for name in (TASK, MODEL, *LABELS, CLIP):
        assert name in seen, name
    tab.close()


def _without_policy(route, page: Path) -> None:
    if route.request.url != page.as_uri():
        route.abort()
        return
    text = page.read_text("utf-8")
    assert "Content-Security-Policy" in text
    body = text.replace("Content-Security-Policy", "X-None")
    route.fulfill(body=body, content_type="text/html; charset=utf-8")
