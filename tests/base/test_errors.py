"""The two kinds of errors are told apart by the command line and by nothing else."""

from olmo2.base.errors import RunError, UsageError


def test_kinds_are_distinct() -> None:
    assert issubclass(UsageError, ValueError)
    assert issubclass(RunError, RuntimeError)
    assert not issubclass(RunError, UsageError)
