"""The texts of mails, one file for each kind; an operator may have others in MAIL_TEXTS."""

import re
from pathlib import Path
from string import Formatter
from typing import Final, NamedTuple, Self

from app.auth.mail_kinds import MailKind
from app.core.config import ConfigurationError, Settings

OWN: Final = Path(__file__).with_name("texts")

NAMES: Final = frozenset({"app", "email", "link"})
"""What a text may name in braces; `link` only where the kind of mail has one."""

LONGEST_FILE: Final = 65_536

UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
"""Control characters and all that any program takes for the end of a line."""


class Template(NamedTuple):
    """The subject and the text of a kind of mail, with names in braces."""

    subject: str
    text: str

    @classmethod
    def parse(cls, content: str, names: frozenset[str]) -> Self:
        """Read a file: the subject is its first line. Raises ValueError, which says what is wrong.

        Only these names may be in braces, without anything else: `{{` and `}}` are single braces.
        """
        subject, _, text = content.strip().partition("\n")
        if not subject.strip() or not text.strip():
            raise ValueError("it needs a subject in its first line, and a text")
        if UNSAFE.search(subject.strip()):
            raise ValueError("its subject has a control character")
        for _literal, name, form, conversion in Formatter().parse(content):
            if name is not None and (name not in names or form or conversion):
                raise ValueError(f"{{{name}}} is none of {', '.join(sorted(names))}")
        return cls(subject.strip(), f"{text.strip()}\n")

    def filled(self, **values: str) -> tuple[str, str]:
        """Return subject and text with these values. Raises ValueError if one has line ends."""
        if any(UNSAFE.search(value) for value in values.values()):
            raise ValueError("a value with control characters")
        return self.subject.format_map(values), self.text.format_map(values)


def load(settings: Settings) -> dict[str, Template]:
    """Return the template of each kind, that of MAIL_TEXTS if it has one.

    Raises ConfigurationError with one line that names the file.
    """
    folders = [Path(settings.mail_texts), OWN] if settings.mail_texts else [OWN]
    return {str(kind): _load(kind, folders) for kind in MailKind}


def _load(kind: MailKind, folders: list[Path]) -> Template:
    paths = [folder / f"{kind}.txt" for folder in folders]
    path = next((path for path in paths if path.exists()), paths[-1])
    try:
        with path.open(encoding="utf-8-sig") as file:
            content = file.read(LONGEST_FILE)
        return Template.parse(content, NAMES if kind.purpose else NAMES - {"link"})
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) else error
        raise ConfigurationError(f"MAIL_TEXTS: {path} is of no use: {said}") from None
