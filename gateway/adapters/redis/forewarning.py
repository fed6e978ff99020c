"""What is wrong with the books' server, said in the log of a gateway that starts: not all admins ask the doctor."""

from contextlib import suppress

import structlog

from gateway.adapters.redis.cluster import shown
from gateway.adapters.redis.losses import Wanted, diagnose
from gateway.adapters.redis.survey import survey_all
from gateway.ports import LedgerRejected, LedgerUnavailable

log = structlog.get_logger(__name__)


async def tell_faults(url: str, wanted: Wanted) -> None:
    """Look at the server, or at each primary, on connections of its own, and write a line for each fault.

    One that cannot be looked at now has lines of its own.
    """
    with suppress(LedgerUnavailable, LedgerRejected):
        for name, server in (await survey_all(url)).items():
            for fault in diagnose(server, wanted).faults:
                log.warning(
                    "ledger.fault", server=shown(name), check=fault.check, problem=fault.what, remedy=fault.remedy
                )
