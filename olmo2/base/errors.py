"""The two ways in which a command ends badly through no defect of ours.

Both carry one sentence that names the setting or file and says what to do; the command line prints
that sentence without a traceback. Anything else that escapes is a defect and shows its traceback.
"""


class UsageError(ValueError):
    """A recipe, argument or input file is wrong and the user can mend it: exit status 2."""


class RunError(RuntimeError):
    """The work itself failed (disk full, torn checkpoint, outputs that differ): exit status 1."""
