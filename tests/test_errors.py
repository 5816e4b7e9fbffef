from __future__ import annotations

from transfer_meta.errors import nearest, unknown


def test_a_near_name_is_offered() -> None:
    assert "did you mean 'leave-one-target-out'" in nearest(
        "leave-one-target", ["leave-one-target-out", "random"]
    )


def test_letter_case_does_not_hide_a_name() -> None:
    assert nearest("LOGISTIC", ["logistic"]) == "; did you mean 'logistic'?"


def test_nothing_near_nothing_offered() -> None:
    assert nearest("qqqqqq", ["logistic"]) == ""


def test_an_unknown_name_is_one_line_with_all_that_are_valid() -> None:
    message = str(unknown("metric", "f-1", ["f1", "auroc"]))
    assert "\n" not in message
    assert "f1, auroc" in message
