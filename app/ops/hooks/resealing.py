"""Sealing the secrets of webhooks anew after JWT_SECRET was changed, before the old one is gone."""

import logging
from typing import Final

from sqlalchemy import text

from app.api.webhooks.secrets import seal, unseal
from app.core.secrets import accepted, present
from app.db.run import execute
from app.db.scope import WORKER
from app.db.statement import Statement

STALE: Final = Statement(
    text("""
select user_id, id, secret from webhooks
    where key_id <> :key_id and (user_id, id) > (cast(:user_id as uuid), cast(:id as uuid))
    order by user_id, id limit 1000
""")
)
# Not if it was replaced meanwhile.
RESEALED: Final = Statement(
    text("""
update webhooks set secret = :sealed, key_id = :key_id
    where user_id = :user_id and id = :id and secret = :secret returning id
""")
)
FIRST: Final = "00000000-0000-0000-0000-000000000000"

logger = logging.getLogger(__name__)


def reseal() -> int:
    """Seal with the present key what another has sealed; return how many secrets that were.

    Raises Problem or psycopg2.Error.
    """
    count, last, keys = 0, {"user_id": FIRST, "id": FIRST}, present()
    while rows := execute(WORKER, STALE, key_id=keys.id, **last):
        for row in rows:
            last = {"user_id": row.user_id, "id": row.id}
            try:
                sealed = seal(unseal(row.secret, accepted()), keys)
            except ValueError:
                logger.error("the secret of a webhook cannot be read", extra={"fields": last})
                continue
            changes = {"secret": row.secret, "sealed": sealed, "key_id": keys.id}
            count += len(execute(WORKER, RESEALED, **last, **changes))
    return count
