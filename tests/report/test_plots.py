from __future__ import annotations

import itertools
import re
import xml.etree.ElementTree as ET

import pytest

from ulterior.report.plots import DARK, LIGHT, css_variables, figure, save_png, svg


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2 defines it."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(a: str, b: str) -> float:
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def drawn(label: str = "x"):
    with figure(height=2.0) as (fig, axes):
        axes.plot([0, 1], [0, 1], color=LIGHT["anomalous"])
        axes.set_xlabel(label)
    return fig


def test_both_palettes_give_every_role_and_no_two_roles_share_a_light_colour():
    assert LIGHT.keys() == DARK.keys()
    assert len(set(LIGHT.values())) == len(LIGHT)


@pytest.mark.parametrize("palette", [LIGHT, DARK])
def test_text_and_lines_stand_out_from_the_paper(palette):
    for role in ("ink", "muted", "accent"):
        assert contrast(palette[role], palette["paper"]) > 4.5, role
    for role in palette.keys() - {"paper", "rule", "control"}:
        assert contrast(palette[role], palette["paper"]) > 3, role


@pytest.mark.parametrize("palette", [LIGHT, DARK])
def test_groups_stay_apart_without_the_sense_of_red_or_of_green(palette):
    # Projections of Vienot, Brettel and Mollon (1999) for protanopes and deuteranopes, on linear RGB.
    projections = (
        ((0.11238, 0.88762, 0), (0.11238, 0.88762, 0), (0.00401, -0.00401, 1)),
        ((0.29275, 0.70725, 0), (0.29275, 0.70725, 0), (-0.02234, 0.02234, 1)),
    )

    def seen(colour: str, matrix) -> list[float]:
        linear = [(int(colour[i : i + 2], 16) / 255) ** 2.2 for i in (1, 3, 5)]
        return [max(sum(m * c for m, c in zip(row, linear, strict=True)), 0) ** (1 / 2.2) for row in matrix]

    groups = ("trusted", "benign", "real", "anomalous")
    for matrix, (a, b) in itertools.product(projections, itertools.combinations(groups, 2)):
        apart = sum(
            (x - y) ** 2 for x, y in zip(seen(palette[a], matrix), seen(palette[b], matrix), strict=True)
        )
        assert apart**0.5 > 0.1, (a, b)


def test_an_svg_bears_roles_instead_of_colours_and_text_as_text():
    text = svg(drawn("false alarms"), "p1", 'a "label" & <more>')
    ET.fromstring(text)
    assert "var(--anomalous)" in text
    assert ">false alarms<" in text
    assert "font-family" not in text
    assert not re.search(r"#[0-9a-f]{6}", text)
    assert "<style" not in text  # one in a page would reach every other element
    assert 'aria-label="a &quot;label&quot; &amp; &lt;more&gt;"' in text


def test_ids_bear_the_name_and_are_all_referred_to_by_it():
    text = svg(drawn(), "p1")
    ids = set(re.findall(r'\bid="([^"]+)"', text))
    assert ids
    assert all(i.startswith("p1-") for i in ids)
    assert set(re.findall(r'(?:url\(#|href="#)([^")]+)', text)) <= ids


def test_equal_figures_give_equal_files_and_one_figure_the_same_file_twice(tmp_path):
    fig = drawn()
    assert svg(fig) == svg(fig) == svg(drawn())
    save_png(fig, tmp_path / "a.png", dpi=60)
    save_png(drawn(), tmp_path / "b.png", dpi=60)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_labels_are_not_read_as_mathematics_and_unknown_characters_do_not_warn():
    text = svg(drawn("a$b$ <b> \U0001f9ea"))
    assert "a$b$ &lt;b&gt; \U0001f9ea" in text
    ET.fromstring(text)


def test_the_look_does_not_leak_into_the_users_settings():
    import matplotlib as mpl

    def settings() -> dict:
        return {k: v for k, v in mpl.rcParams.items() if k != "backend"}  # reading that one resolves it

    before = settings()
    drawn()
    assert settings() == before


def test_a_palette_becomes_css():
    assert css_variables({"ink": "#000000", "paper": "#ffffff"}) == "--ink: #000000; --paper: #ffffff;"
