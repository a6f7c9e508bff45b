"""What a terminal shows while something goes on; elsewhere there are plain lines or none."""

import io
import re
import time

import pytest
from rich.console import Console

from peakatlas.cli import terminal


@pytest.fixture
def screen(monkeypatch):
    """Everything that moves on a terminal."""
    shown = io.StringIO()
    monkeypatch.setattr(
        terminal, "_console", lambda: Console(file=shown, force_terminal=True, width=100)
    )
    return shown


def texts(screen):
    """Lines without the codes that move the cursor and colour."""
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue())
    return [line.strip() for line in re.split(r"[\r\n]+", plain) if line.strip()]


def test_steps_are_kept_with_their_time_when_they_took_any(screen, monkeypatch):
    kept = []
    monkeypatch.setattr(terminal, "complain", kept.append)
    monkeypatch.setattr(terminal, "_LEAST_SHOWN_S", 0)
    with terminal.steps() as begin:
        begin("reading")
        begin("fitting")
    assert [re.sub(r"\d+\.\d", "#", line) for line in kept] == ["reading (# s)", "fitting (# s)"]
    assert any("fitting" in line for line in texts(screen))


def test_a_step_says_how_much_of_it_is_done(screen):
    with terminal.steps() as begin:
        begin("embedding")
        begin.count(1000, 4000)
    assert any("embedding: 1,000 of 4,000 (25 %)" in line for line in texts(screen))


def test_off_a_terminal_that_is_a_line_now_and_then(capsys, monkeypatch):
    with terminal.steps() as begin:
        begin("embedding")
        begin.count(1, 4)
    monkeypatch.setattr(terminal, "LINE_EVERY_S", 0)
    with terminal.steps() as begin:
        begin("embedding")
        begin.count(2, 4)
    assert capsys.readouterr().err == "embedding\nembedding\nembedding: 2 of 4 (50 %)\n"


def test_off_a_terminal_a_long_step_gives_signs_of_life(capsys, monkeypatch):
    monkeypatch.setattr(terminal, "LIFE_EVERY_S", 0.05)
    with terminal.steps() as begin:
        begin("fitting")
        time.sleep(0.4)
    assert "fitting: goes on (0 min)" in capsys.readouterr().err.splitlines()
    with terminal.verbosity(terminal.QUIET), terminal.steps() as begin:
        begin("fitting")
        time.sleep(0.2)
    assert capsys.readouterr().err == ""


def test_spinner_and_bars_say_what_and_how_much(screen):
    with terminal.working("searching"):
        pass
    with terminal.bytes_bar("copying") as advance:
        advance(1_500_000)
    with terminal.progress_bar(10, "embedding") as advance:
        advance(10)
    shown = "\n".join(texts(screen))
    assert "searching" in shown
    assert re.search(r"copying.*1\.5 MB", shown)
    assert re.search(r"embedding.*10/10", shown)


def test_nothing_moves_off_a_terminal(capsys):
    with terminal.working("searching"), terminal.bytes_bar("copying") as advance:
        advance(5)
    with terminal.steps() as begin:
        begin("reading")
        begin("fitting")
    assert capsys.readouterr().err == "reading\nfitting\n"


def test_bytes_are_a_line_now_and_then(capsys, monkeypatch):
    monkeypatch.setattr(terminal, "LINE_EVERY_S", 0)
    with terminal.bytes_bar("copying") as advance:
        advance(1500)
        advance(1500)
    assert capsys.readouterr().err == "copying: 1.5 kB\ncopying: 3 kB\n"


def test_quiet_shows_warnings_only(capsys):
    with terminal.verbosity(terminal.QUIET):
        with terminal.progress_bar(1, "embedding") as advance, terminal.steps() as begin:
            advance(1)
            begin("reading")
        terminal.say("note")
        terminal.warn("odd")
    assert capsys.readouterr().err == "warning: odd\n"
    terminal.say("note")
    assert capsys.readouterr().err == "note\n"


def test_only_the_first_rank_speaks(capsys, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with terminal.progress_bar(1, "embedding") as advance:
        advance(1)
    terminal.warn("odd")
    assert capsys.readouterr().err == ""
