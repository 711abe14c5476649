"""How gunicorn serves the application; every figure can be set from the environment."""

from app import logs
from app.config import load
from app.server import Logger, answer_with_problems

settings = load()
logs.configure(settings)

host = "0.0.0.0" if settings.production else "127.0.0.1"  # noqa: S104 behind a balancer
bind = f"{host}:{settings.port}"
worker_class = "gthread"
workers = settings.web_concurrency
threads = settings.web_threads
keepalive = 65  # longer than a balancer's, so that it is never the server that hangs up first
graceful_timeout = 30
limit_request_line = 8190
limit_request_field_size = 8190
logger_class = Logger
accesslog = None  # the application logs each request
control_socket_disable = True  # nobody uses it, and all servers of one account would share it
forwarded_allow_ips = ""  # TRUSTED_PROXIES decides, not gunicorn's trust in this host
worker_tmp_dir = None
wsgi_app = "wsgi:app"


def post_worker_init(_worker: object) -> None:
    """Called in each worker before its first request."""
    answer_with_problems()
