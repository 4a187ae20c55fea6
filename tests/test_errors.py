"""rule_jax.errors: whatever an error quotes, it stays one line."""

import pytest

from rule_jax.errors import UserError, one_line, printable


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a\nb\r\n", r"a\nb\r\n"),
        ("\x1b[2Jgone\x07", r"\x1b[2Jgone\x07"),
        ("half \ud800 a pair", r"half \ud800 a pair"),
        ("one\u2028two\u2029three\x85four", r"one\u2028two\u2029three\x85four"),
        ("Zoë, 東京, “so”", "Zoë, 東京, “so”"),
    ],
)
def test_a_text_becomes_one_line_that_can_be_written(text, line):
    assert printable(text) == line
    assert str(UserError(text)) == line
    assert line.encode()


def test_a_command_prints_one_line_whatever_has_failed(capsys):
    class Other(Exception):
        pass

    for error in (UserError("a\x1b[2J\nb"), Other("a\x1b[2J\nb")):
        with pytest.raises(SystemExit) as ended, one_line(Other):
            raise error
        assert ended.value.code == 2
        assert capsys.readouterr().err == "error: a\\x1b[2J\\nb\n"
    with pytest.raises(SystemExit), one_line():
        raise PermissionError(13, "Permission denied", "a\nb")
    assert capsys.readouterr().err == "error: a\\nb cannot be used: Permission denied. Mend that.\n"
