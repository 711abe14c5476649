"""What is raised for a file that cannot be read at all."""


class NotThisFormat(ValueError):
    """The file is not of the format that the request names; the text is a sentence for the user."""
