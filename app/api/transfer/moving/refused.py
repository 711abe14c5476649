"""What is raised for a file that is not of the format it was sent as, or takes too long."""


class NotThisFormat(ValueError):
    """The file is not of the format; the text is one sentence for the user."""


class TooSlow(NotThisFormat):
    """The file was not read to its end in time."""
