from __future__ import annotations

import base64
import hashlib
import os
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from ulterior.errors import InputError
from ulterior.report import Report, Section, ShownExample, Standing, render_report, write_report
from ulterior.report.model import Group, HeatMap, Histogram, Interval, KeyFigure, Leaderboard, Metric

VOID = {"meta", "input", "wbr", "br"}
HOSTILE = "<script>alert(1)</script>\"'{{ 7 * 7 }}{% x %}</style></title>\x1b[1m\ud800" + "w" * 3000


class Page(HTMLParser):
    """Counts elements, gathers ids, attributes and text, and checks that every tag is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.count, self.ids, self.open, self.attributes = Counter(), [], [], []
        self.text: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        self.count[tag] += 1
        self.ids += [value for name, value in attrs if name == "id"]
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"script", "style"} & set(self.open):
            self.text.append(data)


def test_a_whole_bench_and_a_whole_audit_are_well_formed_with_no_id_twice(bench_page, audit_page):
    for html in (bench_page, audit_page):
        page = Page(html)
        assert len(page.ids) == len(set(page.ids))
        assert page.count["script"] == 1
        assert page.count["style"] == 1


def test_equal_reports_give_equal_pages(audit, audit_page):
    assert render_report(replace(audit)) == audit_page


def test_the_page_asks_the_network_for_nothing(bench_page):
    page = Page(bench_page)
    assert page.count["link"] == page.count["img"] == page.count["iframe"] == 0
    assert not [
        v for name, v in page.attributes if name in ("src", "href", "xlink:href") and not v.startswith("#")
    ]
    assert not re.search(r"@import|url\((?!#)", bench_page)
    assert "default-src 'none'" in bench_page


def test_the_policy_names_the_hash_of_the_script_that_is_in_the_page(audit_page):
    (script,) = re.findall(r"<script>(.*?)</script>", audit_page, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = dict(Page(audit_page).attributes)  # the last "content" of a meta element
    assert policy["content"].split("script-src ")[1].startswith(f"'sha256-{digest}'")


def test_hostile_text_is_harmless_wherever_it_stands():
    x = HOSTILE
    row = Standing(x, {"k": Interval(0.5, 0.4, 0.6)}, "detector", x, x, "better", Interval(0.1), 1.0, x)
    report = Report(
        x,
        x,
        (
            Section(
                x,
                x,
                Leaderboard((Metric("k", x, group=x, about=x),), (row,), x),
                histograms=(Histogram(x, (Group(x, "real", np.arange(9.0)),), 3.0, x, x),),
                heat_maps=(HeatMap(x, (x,), (x,), np.ones((1, 1)), about=x),),
                anomalies=(ShownExample(x, x, x, "real", 0.1, True, x, ((x, 0.1),), x, facts={x: x}),),
                mistakes=(ShownExample(((x, x), (x, x)), 1),),
                notes=(x,),
            ),
        ),
        (KeyFigure(x, x, x),),
        {x: x},
        (x,),
    )
    html = render_report(report)
    html.encode("utf-8")
    page = Page(html)
    assert page.count["script"] == 1
    assert page.count["style"] == 1
    assert page.count["title"] == 1
    assert "<script>alert" not in html
    assert "\x1b" not in html
    assert "\u241b[1m" in html
    assert "{{ 7 * 7 }}" in "".join(page.text)
    assert not [name for name, _ in page.attributes if name.startswith("on")]


def test_sections_without_data_are_left_out():
    html = render_report(Report("Title", "Answer."))
    assert "Answer." in html
    for absent in (
        "Leaderboard",
        "Scores by group",
        "Sites</h3>",
        "Most anomalous",
        "Worst",
        "How it was run",
    ):
        assert absent not in html
    Page(html)


def test_every_part_that_is_given_is_there(bench, bench_page):
    for heading in (
        "Leaderboard",
        "Recall at each",
        "Scores by group",
        "AUROC by site",
        "Most anomalous",
        "Worst mistakes",
        "How it was run",
    ):
        assert heading in bench_page
    page = Page(bench_page)
    assert page.count["svg"] == sum(len(s.rocs) + len(s.histograms) for s in bench.sections)
    assert page.count["details"] == 4  # in each task, the long text and the hostile one


def test_roles_verdicts_and_undefined_numbers_are_marked(bench_page):
    for mark in (
        '<tr class="ceiling"',
        '<tr class="control"',
        '<tr class="baseline"',
        "▲ better",
        "▽ worse",
        "undefined",
    ):
        assert mark in bench_page


def test_an_audit_shows_its_examples_before_its_sites(audit_page):
    assert audit_page.index("Most anomalous") < audit_page.index("Sites</h3>")


def test_a_chat_is_shown_turn_by_turn():
    chat = (("user", "Is it good?"), ("assistant", "It is."))
    html = render_report(Report("t", "a", (Section("s", anomalies=(ShownExample(chat, 3),)),)))
    assert html.index(">user<") < html.index("Is it good?") < html.index(">assistant<") < html.index("It is.")


def test_a_report_of_four_thousand_examples_and_fifteen_detectors_is_small():
    rng = np.random.default_rng(0)
    groups = tuple(Group(f"g{i}", "real", rng.normal(size=1000)) for i in range(4))
    histograms = tuple(Histogram(f"d{i}", groups, 2.0) for i in range(15))
    html = render_report(Report("t", "a", (Section("s", histograms=histograms),)))
    assert len(html.encode()) < 1_000_000


def test_writing_makes_the_folder_and_leaves_no_other_file(tmp_path, audit, audit_page):
    path = tmp_path / "runs" / "a" / "report.html"
    write_report(audit, path)
    write_report(audit, path)
    assert path.read_text(encoding="utf-8") == audit_page
    assert os.listdir(path.parent) == ["report.html"]


def test_a_page_that_cannot_be_written_is_one_clear_line_and_the_old_one_stays(tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match=r"report\.html: No space left on device"):
        write_report(Report("t", "a"), path)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["report.html"]


def test_a_file_in_the_place_of_the_folder_is_one_clear_line(tmp_path):
    (tmp_path / "runs").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        write_report(Report("t", "a"), tmp_path / "runs" / "report.html")
