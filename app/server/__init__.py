"""gunicorn's gthread worker, extended; the application also runs without this package."""

from typing import Final

GUNICORN_NAMES: Final = {
    "worker": "accept alive enqueue_req get_thread_pool handle handle_error handle_exit"
    " handle_quit handle_request keepalived_conns method_queue nr_conns"
    " on_client_socket_readable pending_conns poller set_accept_enabled sockets tpool"
    " wait_for_and_dispatch_events worker_connections",
    "connection": "close data_ready parser set_timeout sock timeout",
    "parser": "unreader",
    "unreader": "buf",
    "request": "body force_close",
    "body": "reader",
    "reader": "length",
    "master": "reexec_pid signal",
}
"""What gunicorn does not document and this package uses; watched by tests/test_server_names.py."""
