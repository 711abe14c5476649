"""What is raised for a file that is not of the format it was sent as."""


class NotThisFormat(ValueError):
    """The file is not of the format; the text is one sentence for the user."""
