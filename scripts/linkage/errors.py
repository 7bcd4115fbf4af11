"""The one exception of a step whose input cannot be used."""


class UnusableInput(Exception):
    """An input or setting cannot be used.

    The message is one sentence that says what is wrong, where (record, line or
    key) and what to do. It contains no value of a patient.
    """
