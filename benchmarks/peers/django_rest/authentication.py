"""A token that says who its bearer is; the user is not looked up."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import jwt
from django.conf import settings
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed

ISSUER = "tasks-api"


@dataclass
class TokenUser:
    """Whom the token speaks for."""

    id: UUID
    is_authenticated: bool = True


class TokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer <JWT>`"""

    def authenticate(self, request: Any) -> tuple[TokenUser, None] | None:
        scheme, _, token = get_authorization_header(request).partition(b" ")
        if scheme.lower() != b"bearer":
            return None
        try:
            claims = jwt.decode(
                token, settings.SECRET_KEY, algorithms=["HS256"], issuer=ISSUER, audience=ISSUER
            )
        except jwt.InvalidTokenError:
            raise AuthenticationFailed from None
        return TokenUser(UUID(claims["sub"])), None

    def authenticate_header(self, request: Any) -> str:
        return "Bearer"
