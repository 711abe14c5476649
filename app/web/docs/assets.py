"""Answers that stay the same while the process runs: compressed once, with an entity tag."""

import gzip
import hashlib
from dataclasses import dataclass

from app.core.problem_kinds import PRECONDITION_FAILED
from app.core.problems import Problem
from app.web.request import Request
from app.web.response import Response


@dataclass(frozen=True, slots=True)
class Asset:
    """A content in both forms in which it is sent."""

    media_type: str
    plain: bytes
    compressed: bytes
    digest: str

    @classmethod
    def of(cls, content: bytes, media_type: str) -> "Asset":
        """Compress the content, which takes half a second for the largest there is."""
        digest = hashlib.sha256(content).hexdigest()[:32]
        return cls(media_type, content, gzip.compress(content, 6, mtime=0), digest)

    def respond(self, incoming: Request, max_age: int = 0) -> Response:
        """The form that the client takes, or 304 if it has it already. Raises Problem 412.

        Each form has a tag of its own, as strong tags must (RFC 9110, section 8.8.3.3).
        """
        compressed = incoming.accept_encodings["gzip"] > 0
        response = Response(self.compressed if compressed else self.plain)
        response.content_type = self.media_type
        response.vary.add("Accept-Encoding")
        if compressed:
            response.content_encoding = "gzip"
        response.set_etag(f"{self.digest}-gzip" if compressed else self.digest)
        if max_age:
            response.cache_control.public = True
            response.cache_control.max_age = max_age
        response.make_conditional(incoming)
        if response.status_code == 412:
            raise Problem(PRECONDITION_FAILED)
        response.headers.pop("Date", None)  # the server's to tell
        return response
