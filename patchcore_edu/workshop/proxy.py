"""The proxy in Python, `configurable-http-proxy`, with what a workshop needs in addition: `python proxy.py [options]`.

JupyterHub starts it. It adds to the package: TLS; the browser's choice of WebSocket protocol and its binary messages,
without which Chromium breaks the connection; closing a WebSocket at the browser when the server closes it; and more
than ten requests at once.
"""

import argparse
import asyncio
import ssl
import urllib.parse
from os import environ

from configurable_http_proxy import log
from configurable_http_proxy.configproxy import PythonProxy
from configurable_http_proxy.handlers import ProxyHandler
from tornado.httpclient import AsyncHTTPClient, HTTPClientError
from tornado.httpserver import HTTPServer
from tornado.web import Application
from tornado.websocket import websocket_connect

MIB = 2**20


class Handler(ProxyHandler):
    """One request, or one WebSocket, on its way from a browser to a server."""

    def _get_proxy_request(self, url):
        request = super()._get_proxy_request(url)
        request.headers["X-Forwarded-Proto"] = self.request.protocol
        # Compressed once, on the way to the browser.
        request.headers.pop("Accept-Encoding", None)
        request.decompress_response = False
        request.request_timeout = 600  # a page that follows a server's start keeps its request open
        return request

    async def start_ws_client(self, path=None):
        url = await self.get_target_url(path)
        if url is None:
            return
        request = self._get_proxy_request(urllib.parse.urlparse(url)._replace(scheme="ws").geturl())
        asked = self.request.headers.get("Sec-WebSocket-Protocol")
        try:
            self.ws_client = await websocket_connect(
                request,
                on_message_callback=self._from_server,
                max_message_size=100 * MIB,
                subprotocols=[name.strip() for name in asked.split(",")] if asked else None,
            )
        except HTTPClientError as error:
            self.set_status(error.code)
            self.finish()
        except OSError as error:
            await self.handle_proxy_error(503, error)

    def select_subprotocol(self, subprotocols):
        return self.ws_client.selected_subprotocol

    def on_message(self, message):
        if self.ws_client:
            self.proxy.update_last_activity(self.target["prefix"])
            self.ws_client.write_message(message, binary=isinstance(message, bytes))

    def _from_server(self, message):
        if message is None:
            self.close()
        elif self.ws_connection:
            self.proxy.update_last_activity(self.target["prefix"])
            self.write_message(message, binary=isinstance(message, bytes))


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("ip", "api-ip", "error-target", "ssl-key", "ssl-cert"):
        parser.add_argument(f"--{name}")
    for name in ("port", "api-port"):
        parser.add_argument(f"--{name}", type=int)
    parser.add_argument("--log-level", default="info")
    chosen = parser.parse_args()
    log.setLevel(chosen.log_level.upper())
    asyncio.run(serve(chosen))


async def serve(chosen: argparse.Namespace) -> None:
    AsyncHTTPClient.configure(None, max_clients=1000, max_body_size=200 * MIB)
    proxy = PythonProxy({"auth_token": environ["CONFIGPROXY_AUTH_TOKEN"], "error_target": chosen.error_target})
    tls = None
    if chosen.ssl_cert:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(chosen.ssl_cert, chosen.ssl_key)
    application = Application(
        [(r"/(.*)", Handler, {"proxy": proxy})],
        compress_response=True,
        websocket_max_message_size=100 * MIB,
        log_function=lambda handler: None,
    )
    HTTPServer(application, ssl_options=tls, max_body_size=200 * MIB).listen(chosen.port, chosen.ip)
    HTTPServer(proxy.api_app).listen(chosen.api_port, chosen.api_ip)
    await asyncio.Event().wait()


if __name__ == "__main__":
    main()
