"""Reports from evaluations made up for the purpose: what they say, and that their page is whole and needs nothing."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from ggufs.tiny_gguf import write_tiny_gguf

from quantizer.__main__ import run
from quantizer.errors import DataError
from quantizer.measures.evaluation import evaluation_path
from quantizer.report.build import make_report
from quantizer.report.matched_bytes import Verdict
from quantizer.report.page import best_file, model_card, report_html, report_markdown, write_report
from quantizer.report.plot import colour, heat_maps, report_plots
from quantizer.report.tables import report_tables

TOKENS = "ab" * 32
VOID = {"meta", "line", "polyline"}


def estimate(value, error=0.01):
    return {"value": value, "error": error, "token_error": None}


def evaluation(kld, ppl, *, tokens=TOKENS, sha256="00"):
    return {
        "model": {"name": "x.gguf"},
        "reference": {"name": "base.gguf", "sha256": sha256},
        "text": {
            "n_ctx": 64,
            "n_chunk": 4,
            "n_scored": 124,
            "tokens": tokens,
            "ppl": estimate(ppl),
            "ppl_base": estimate(10.0),
            "rho": estimate(0.98),
            "kld": estimate(kld),
            "kld_median": estimate(kld / 2),
            "delta_p_rms": estimate(0.05),
            "same_top": estimate(0.9),
            "kld_by_chunk": [kld * (1 + 0.1 * i) / 1.15 for i in range(4)],
        },
        "decisions": {"calls": 3, "decisions": 20, "decision_kld": estimate(kld), "decision_same_top": estimate(0.8)},
        "tasks": {"hellaswag:hella.txt": {"accuracy": 0.5, "error": 0.02, "n": 100}},
        "tool_calls": {"accuracy": 0.75, "error": 0.1, "n": 8},
        "speed": {"prefill": 100.0, "decode": 20.0, "peak_bytes": 2e8, "n_threads": 2, "n_prompt": 512, "n_decode": 64},
        "conventions": {"kld": "D(reference || model) & more"},
    }


@pytest.fixture
def base(tmp_path):
    return write_tiny_gguf(tmp_path / "base.gguf", n_embd=256, n_ff=512)


@pytest.fixture
def measured(tmp_path):
    """Writes a model file of a size and its evaluation; the tensors do not matter here."""

    def write(name, kld, ppl, padding=0, **options):
        path = write_tiny_gguf(tmp_path / name, n_ff=128 + 32 * padding)
        evaluation_path(path).write_text(json.dumps(evaluation(kld, ppl, **options)))
        return path

    return write


@pytest.fixture
def report(base, measured):
    """Three files by size: good, better, and one that is bigger and worse than both."""
    files = [
        measured("small.gguf", 0.2, 12.0),
        measured("middle.gguf", 0.05, 10.1, 1),
        measured("big.gguf", 0.3, 13, 2),
    ]
    return make_report(base, files, title="A <model> & its | files")


def with_stock(report):
    """The same with the outer files taken for stock ones, and the middle one held against them."""
    small, middle, big = report.files
    files = (replace(small, is_stock=True, label="Q4_0"), replace(middle, label="Q4_0"), replace(big, is_stock=True))
    return replace(report, files=files)


def test_files_stand_by_size_and_the_beaten_ones_are_marked(report):
    assert [each.name for each in report.files] == ["small", "middle", "big"]
    assert report.dominated == {"big": "small"}
    assert report.files[0].accuracy.value == pytest.approx(10 / 12)


def test_a_file_measured_on_the_text_of_its_imatrix_is_said_to_be(report):
    def remarks(calibrated_on, name="functiongate:text", sha256="ee" * 32):
        small, *others = report.files
        text = replace(small.evaluation.text, name=name, text_sha256=sha256)
        small = replace(small, calibrated_on=calibrated_on, evaluation=replace(small.evaluation, text=text))
        tables = report_tables(replace(report, files=(small, *others)))
        return [table.title for table in tables if "imatrix of small was collected on this text" in table.remark]

    assert remarks(("mine.txt", "functiongate:text")) == ["Perplexity", "Divergence from the base"]
    assert remarks(("mine.txt",)) == []
    assert remarks(()) == []
    assert len(remarks(("ee" * 32,), name="a copy of it.txt")) == 2
    assert remarks(("dd" * 32,), name="an edited text.txt") == []


def test_the_base_has_its_perplexity_from_the_files_evaluations(report):
    assert report.base.measured("text", "ppl").value == 10.0
    assert report.base.accuracy.value == 1.0


def test_without_stock_files_no_recipe_is_judged(report):
    assert {each.verdict for each in report.matched} == {Verdict.OUTSIDE}


def test_the_tables_are_those_of_the_cards_and_say_how_their_numbers_were_made(report):
    tables = {table.title: table for table in report_tables(with_stock(report))}
    assert list(tables) == [
        "Sizes",
        "Perplexity",
        "Divergence from the base",
        "Tool calls",
        "Benchmark tasks, %",
        "Speed",
        "At matched bytes",
        "Under the same label",
    ]
    for table in tables.values():
        assert all(len(row.cells) == len(table.columns) for row in table.rows)
    ppl = tables["Perplexity"]
    assert ppl.headings[3] == "PPL²"
    assert "4 chunks of 64 tokens" in ppl.notes[1]
    assert "base.gguf" in ppl.notes[1]
    assert [row.cells[5] for row in ppl.rows] == ["83.33", "99.01", "76.92", "100.00"]
    assert [row.mark for row in ppl.rows] == ["", "", "dominated", "base"]
    assert tables["Under the same label"].rows[0].cells[:5] == ("Q4_0", "middle", "12.00", "10.10", "-15.8%")


def test_what_was_not_measured_has_no_table(base, measured):
    path = measured("a.gguf", 0.1, 11.0)
    evaluation_path(path).write_text(json.dumps({"model": {}, "reference": None}))
    assert [table.title for table in report_tables(make_report(base, [path]))] == ["Sizes"]


def test_markdown_keeps_its_tables_whole_whatever_models_are_called(report):
    small = replace(report.files[0], name="a|b")
    text = report_markdown(replace(report, files=(small, *report.files[1:])))
    tables = [re.findall(r"^\|.*$", part, re.MULTILINE) for part in text.split("### ")]
    assert "| a\\|b |" in text
    for rows in filter(None, tables):
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1


class Page(HTMLParser):
    """Raises if an element is closed that is not the last open one; collects text and references."""

    def __init__(self):
        super().__init__()
        self.open, self.references, self.headings, self.svgs = [], [], [], 0

    def handle_starttag(self, tag, attributes):
        self.svgs += tag == "svg"
        self.references += [v for k, v in attributes if k in ("src", "href", "xlink:href", "action", "srcset")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, _attributes):
        assert tag in VOID

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("title", "h1", "h2"):
            self.headings.append(data)


def test_the_page_is_whole_and_refers_to_nothing_outside(report):
    text = report_html(with_stock(report))
    page = Page()
    page.feed(text)
    page.close()
    assert page.open == []
    assert page.references == []
    assert not re.search(r"https?:|url\(|@import|<script", text)
    assert "A <model> & its | files: what smaller files lost" in page.headings
    assert page.svgs == len(report_plots(report)) + len(heat_maps(report)) == 7


def test_a_plot_has_its_marks_inside_and_its_front_falls(report):
    for plot in report_plots(report):
        assert all(72 <= mark.x <= 696 and 16 <= mark.y <= 352 for mark in plot.marks)
        assert len(plot.x_ticks) >= 2
        assert len(plot.y_ticks) >= 2
    divergence = report_plots(report)[0]
    assert [mark.kind for mark in divergence.marks] == ["recipe", "recipe", "recipe dominated"]
    assert all(x1 >= x0 and y1 >= y0 for (x0, y0), (x1, y1) in pairwise(divergence.front))


def test_equal_values_are_drawn_too(base, measured):
    files = [measured("a.gguf", 0.1, 11.0), measured("b.gguf", 0.1, 11.0)]
    assert all(len(plot.marks) == 2 for plot in report_plots(make_report(base, files)))


def test_more_bits_are_lighter():
    lightness = [int(re.search(r"(\d+)%\)$", colour(bits))[1]) for bits in (0.5, 1, 2, 4, 8, 16, 32)]
    assert lightness == sorted(lightness)


def test_a_base_that_was_quantized_is_said_everywhere(report):
    report = replace(report, base_was="Q4_1 (210)")
    for text in (report_html(report), report_markdown(report), model_card(report)):
        assert "itself quantized" in text
        assert "Q4_1 (210)" in text
    assert "itself quantized" not in report_html(replace(report, base_was=None))


def test_the_card_has_the_commands_and_front_matter(report):
    card = model_card(report)
    assert card.startswith("---\nlibrary_name: gguf\n")
    assert "functiongate serve middle.gguf" in card
    assert "llama-server -m middle.gguf --jinja" in card
    assert "A &lt;model> & its" in card
    assert "beaten by small" in card


def test_the_file_to_start_with_is_the_smallest_that_keeps_98_percent(report):
    assert best_file(report).name == "middle"
    assert best_file(replace(report, files=(report.files[0], report.files[2]))).name == "small"


def test_all_forms_are_written_and_the_json_has_the_raw_numbers(report, tmp_path):
    written = write_report(report, tmp_path / "out")
    found = json.loads(written.json.read_text())
    assert found["files"][1]["evaluation"]["text"]["kld"]["value"] == 0.05
    assert found["files"][2]["dominated_by"] == "small"
    assert found["matched_bytes"][0]["verdict"] == Verdict.OUTSIDE
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "README.md",
        "report.html",
        "report.json",
        "report.md",
    ]


def test_files_measured_on_other_texts_are_in_no_report_together(base, measured):
    files = [measured("a.gguf", 0.1, 11.0), measured("b.gguf", 0.1, 11.0, tokens="cd" * 32)]
    with pytest.raises(DataError, match="another text"):
        make_report(base, files)


def test_files_held_against_other_references_are_in_no_report_together(base, measured):
    files = [measured("a.gguf", 0.1, 11.0), measured("b.gguf", 0.1, 11.0, sha256="11")]
    with pytest.raises(DataError, match="another reference"):
        make_report(base, files)


def test_the_verb_writes_a_report_and_says_what_is_missing(base, measured, tmp_path, capsys):
    path = measured("a.gguf", 0.1, 11.0)
    assert run(["report", str(base), str(path), "--output-dir", str(tmp_path / "out"), "--title", "Mine"]) == 0
    assert "<h1>Mine" in (tmp_path / "out" / "report.html").read_text()
    evaluation_path(path).unlink()
    assert run(["report", str(base), str(path)]) == 1
    assert "a.evaluation.json is missing: make it with" in capsys.readouterr().err
