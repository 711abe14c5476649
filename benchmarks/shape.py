"""How gunicorn serves whatever has no configuration of its own: as many processes and threads as
the service has by default.
"""

worker_class = "gthread"
workers = 2
threads = 4
keepalive = 65
accesslog = None
control_socket_disable = True
