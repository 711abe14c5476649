"""The faults: each is done to the service while clients are at work, and undone."""

from tests.faults import on_database, on_service, on_the_way
from tests.faults.scene import Fault
from tests.faults.service import Way

FAULTS = [
    Fault("no fault", on_database.nothing),
    Fault("every session terminated", on_database.terminate),
    Fault("sessions terminated every 200 ms", on_database.terminate_repeatedly),
    Fault("stopped and started", on_database.stop_and_start),
    Fault("killed with -9 and started", on_database.kill_and_start),
    Fault("stopped for a while", on_database.stop_for_a_while),
    Fault("frozen with SIGSTOP", on_database.freeze),
    Fault("slow to connect", on_the_way.delay_connecting, Way.PROXY),
    Fault("packets vanish", on_the_way.black_hole, Way.PROXY),
    Fault("cut before a write's answer", on_the_way.lose_answers, Way.PROXY),
    Fault("cut within a write", on_the_way.cut_messages, Way.PROXY),
    Fault("cold start, refused", on_database.wake, before=on_database.away, back_within=2.0),
    Fault(
        "cold start, held",
        on_the_way.wake_behind_proxy,
        Way.PROXY,
        before=on_the_way.asleep,
        back_within=2.0,
    ),
    Fault(
        "worker killed with -9", on_service.kill_worker, cuts_clients=True, replaces_workers=True
    ),
    Fault("reloaded with HUP", on_service.reload, replaces_workers=True),
    Fault("ended with TERM", on_service.end, replaces_workers=True, ends_service=True),
    Fault("disk full", on_database.fill_disk, Way.SMALL_DISK),
    Fault("pooler killed and started", on_the_way.kill_pooler, Way.POOLER, back_within=20.0),
    Fault("pooler paused", on_the_way.pause_pooler, Way.POOLER, back_within=20.0),
    Fault("pooler's servers held", on_the_way.hold_pool, Way.POOLER, back_within=20.0),
    Fault("stopped behind the pooler", on_database.stop_for_a_while, Way.POOLER, back_within=20.0),
]
