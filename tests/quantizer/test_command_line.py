from quantizer.__main__ import run
from server.version import functiongate_version


def test_the_version_is_the_distributions(capsys):
    assert run(["version"]) == 0
    assert capsys.readouterr().out.strip() == functiongate_version()


def test_an_unknown_verb_is_a_usage_error_in_one_line(capsys):
    assert run(["shrink"]) == 2
    error = capsys.readouterr().err
    assert "shrink" in error
    assert error.count("\n") == 1
