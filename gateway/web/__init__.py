"""The pages: the handler's, the inbox, the console; and what probes and Prometheus ask for."""

from gateway.web.app import create_app
from gateway.web.deps import Deps, Health
from gateway.web.server import WebServer

__all__ = ["Deps", "Health", "WebServer", "create_app"]
