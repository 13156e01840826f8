"""What a download shows."""

from __future__ import annotations

import io

from rich.console import Console

from server.model_files.progress import DownloadBar


def test_a_log_gets_one_line_for_each_download():
    text = io.StringIO()
    with DownloadBar(Console(file=text)) as bar:
        for done in range(5):
            bar.update("model", done, 4)
        bar.update("other", 0, 0)
    assert text.getvalue() == "downloading model\ndownloading other\n"


def test_a_terminal_gets_a_bar():
    text = io.StringIO()
    with DownloadBar(Console(file=text, force_terminal=True, width=100)) as bar:
        bar.update("model", 1_000_000, 2_000_000)
        bar.update("model", 2_000_000, 2_000_000)
    assert "2.0/2.0 MB" in text.getvalue()


def test_nothing_is_shown_when_nothing_is_downloaded():
    text = io.StringIO()
    with DownloadBar(Console(file=text, force_terminal=True)):
        pass
    assert text.getvalue() == ""
