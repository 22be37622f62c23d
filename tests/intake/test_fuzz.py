"""Some hundred damaged files of every format: each is read, or refused in one sentence. `tests/support/fuzz.py` runs longer."""

from fuzz import ALL, OK, REFUSED, formats, run


def test_damaged_files_are_read_or_refused_in_a_sentence() -> None:
    outcomes = list(run(ALL, seed=0, n=400))
    assert len(outcomes) == 400
    assert [outcome[:2] for outcome in outcomes if outcome.is_failure] == []
    kinds = [outcome.kind for outcome in outcomes]
    assert kinds.count(REFUSED) > 250
    assert kinds.count(OK) > 40
    refused = {outcome.detail.partition(":")[0] for outcome in outcomes if outcome.kind == REFUSED}
    assert refused == {form.name for forms in formats().values() for form in forms}
