"""How a report looks: JSON, Markdown, one HTML page that needs nothing but itself, and a model card.

Knows templates and names of files. The law: what comes out of a model's file is text, escaped in HTML and in one line
in Markdown; the page asks no network; each file appears whole or not at all.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from quantizer.errors import DataError
from quantizer.report import plot
from quantizer.report.build import Report, ReportedFile
from quantizer.report.matched_bytes import Verdict
from quantizer.report.tables import megabytes, percent, report_tables, text_note, with_error
from server.version import functiongate_version
from server.whole_file import whole_file

JSON_NAME, MARKDOWN_NAME, HTML_NAME, CARD_NAME = "report.json", "report.md", "report.html", "README.md"


@dataclass(frozen=True, slots=True)
class WrittenReport:
    """Where the forms of a report are."""

    json: Path
    markdown: Path
    html: Path
    card: Path


def write_report(report: Report, folder: Path) -> WrittenReport:
    """Write all forms into a folder, over older ones. Raises `DataError` if they cannot be written."""
    written = WrittenReport(*(folder / name for name in (JSON_NAME, MARKDOWN_NAME, HTML_NAME, CARD_NAME)))
    _write(written.json, json.dumps(report.as_json(), indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    _write(written.markdown, report_markdown(report))
    _write(written.html, report_html(report))
    _write(written.card, model_card(report))
    return written


def report_markdown(report: Report) -> str:
    """All tables and conventions."""
    return _rendered("report.md.jinja", report)


def report_html(report: Report) -> str:
    """The page: summary, plots, tables, bits by layer, conventions."""
    return _rendered("report.html.jinja", report)


def model_card(report: Report) -> str:
    """What a reader who found the files wants to know: which one, how it runs, what it lost, how that is known."""
    return _rendered("model_card.md.jinja", report)


def best_file(report: Report) -> ReportedFile:
    """The file that commands are shown with: the smallest that keeps 98 % of the base's "accuracy".

    If none does, the most accurate one; if nothing was measured, the largest. A broken one only if all are.
    """
    whole = [file for file in report.files if not file.is_broken] or report.files
    measured = [(file, file.accuracy.value) for file in whole if file.accuracy is not None]
    if not measured:
        return whole[-1]
    return next((file for file, share in measured if share >= 0.98), max(measured, key=lambda each: each[1])[0])


def _rendered(template: str, report: Report) -> str:
    environment = Environment(
        loader=PackageLoader("quantizer", "templates"),
        autoescape=select_autoescape(enabled_extensions=("html.jinja",)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"megabytes": megabytes, "percent": percent, "line": _one_line}
    return environment.get_template(template).render(
        report=report,
        best=best_file(report),
        tables=report_tables(report),
        plots=plot.report_plots(report),
        heat_maps=plot.heat_maps(report),
        geometry=plot,
        bought=[each.name for each in report.matched if each.verdict in (Verdict.ONLY_BYTES, Verdict.WORSE)],
        better=[each.name for each in report.matched if each.verdict is Verdict.BETTER],
        text_note=text_note(report),
        with_error=with_error,
        version=functiongate_version(),
    )


def _one_line(text: object) -> str:
    """Text out of a model's file, so that it cannot begin another block of Markdown or a key of front matter."""
    return " ".join(str(text).split()).replace("<", "&lt;").replace("|", "\\|")


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as partial:
            partial.write_text(text, encoding="utf-8")
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror or error}") from error
