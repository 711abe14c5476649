"""Why a file is not read at all."""


class NotThisFormat(ValueError):
    """The file is not of the format that was asked for; the text is one sentence for the user."""
