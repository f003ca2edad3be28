"""Simulated learners: they log in, run notebooks and move sliders over HTTP and WebSockets, as browsers do."""

import asyncio
import json
import re
import time
import uuid
from http.cookies import SimpleCookie
from urllib.parse import quote, urlencode, urljoin, urlsplit

from tornado.httpclient import AsyncHTTPClient, HTTPRequest, HTTPResponse
from tornado.websocket import websocket_connect

from patchcore_edu.workshop.login import normal_name

PICTURE = "image/png"
REDIRECTS = (301, 302, 303, 307)


class Learner:
    """One browser: it keeps cookies, follows redirects, and submits forms with their XSRF token.

    Attributes:
        address: of the workshop, without a trailing slash.
        name: as typed; `seat` is the hub's spelling of it.
    """

    def __init__(self, address: str, name: str, passphrase: str, pin: str = "1234"):
        self.address, self.name, self.passphrase, self.pin = address, name, passphrase, pin
        self._cookies: dict[tuple[str, str], str] = {}  # (path, name) → value
        self._client = AsyncHTTPClient(force_instance=True, max_clients=20)
        # A workshop's certificate is self-signed, and the simulated learners are on the same machine.
        self._tls = {"validate_cert": False}

    @property
    def seat(self) -> str:
        return f"/user/{quote(normal_name(self.name))}"

    async def ask(self, path: str, method: str = "GET", body: object = None, form: dict | None = None) -> HTTPResponse:
        """Send one request, follow redirects, and return the response, whatever its status."""
        for _ in range(12):
            headers = {"Cookie": self._header(path)}
            if "/api/" not in path:
                headers["Sec-Fetch-Mode"] = "navigate"
            token = self._token(path)
            if token:
                headers["X-XSRFToken"] = token
            data = urlencode(form).encode() if form is not None else None if body is None else json.dumps(body).encode()
            if form is not None:
                headers["Content-Type"] = "application/x-www-form-urlencoded"
            answer = await self._client.fetch(
                HTTPRequest(
                    self.address + path,
                    method,
                    headers,
                    data,
                    follow_redirects=False,
                    request_timeout=300,
                    allow_nonstandard_methods=True,
                    **self._tls,
                ),
                raise_error=False,
            )
            self._keep(answer)
            if answer.code not in REDIRECTS:
                return answer
            goal = urlsplit(urljoin(self.address + path, answer.headers["Location"]))
            path, method, body, form = goal.path + (f"?{goal.query}" if goal.query else ""), "GET", None, None
        raise RuntimeError(f"{self.name} is redirected in circles, last to {path}")

    async def log_in(self) -> HTTPResponse:
        """Fill in the login form; the response's status is 200 if the learner is let in, otherwise 403 or 429."""
        page = (await self.ask("/hub/login")).body.decode()
        token = re.search(r'name="_xsrf" value="([^"]*)"', page)[1]
        form = {"_xsrf": token, "username": self.name, "password": self.passphrase, "pin": self.pin}
        # The hub would send a new learner straight on to the spawn page, which starts the server: one step at a time.
        return await self.ask("/hub/login?next=%2Fhub%2Fhome", "POST", form=form)

    async def start(self, seconds: float = 180) -> None:
        """Start the seat and wait until its server responds.

        Raises:
            RuntimeError: if it does not, with what the hub says.
        """
        deadline = time.monotonic() + seconds
        answer = await self.ask("/hub/spawn")
        while answer.code != 429 and time.monotonic() < deadline:
            # The page sends a browser to the hub and back with a cookie for the seat (OAuth); the API does not.
            await self.ask(f"{self.seat}/lab")
            answer = await self.ask(f"{self.seat}/api/status")
            if answer.code == 200 and answer.headers["Content-Type"].startswith("application/json"):
                return
            await asyncio.sleep(1)
        raise RuntimeError(f"{self.name} has no server: {answer and (answer.code, _text(answer))}")

    async def stop(self) -> HTTPResponse:
        """Stop the seat's server; the response's status is 202 or 204."""
        return await self.ask(f"/hub/api{self.seat.replace('/user', '/users', 1)}/server", "DELETE")

    async def get(self, path: str) -> dict:
        """What an API of the seat's server returns, from JSON."""
        answer = await self.ask(self.seat + path)
        if answer.code != 200:
            raise RuntimeError(f"{path}: {answer.code} {_text(answer)}")
        return json.loads(answer.body)

    async def save(self, path: str, notebook: dict) -> HTTPResponse:
        """Save a notebook as JupyterLab does; the response's status is 200 or 201."""
        model = {"type": "notebook", "format": "json", "content": notebook}
        return await self.ask(f"{self.seat}/api/contents/{quote(path)}", "PUT", body=model)

    async def open(self, path: str) -> "Kernel":
        """Start a kernel for a notebook, and connect to it."""
        model = {"path": path, "name": path, "type": "notebook", "kernel": {"name": "python3"}}
        answer = await self.ask(f"{self.seat}/api/sessions", "POST", body=model)
        if answer.code != 201:
            raise RuntimeError(f"no kernel for {path}: {answer.code} {_text(answer)}")
        return await self.connect(json.loads(answer.body)["kernel"]["id"])

    async def connect(self, kernel: str, seat: str | None = None) -> "Kernel":
        """Connect to a running kernel; `seat` is another learner's, for trying what must be refused."""
        session, path = uuid.uuid4().hex, f"{seat or self.seat}/api/kernels/{kernel}/channels"
        url = self.address.replace("http", "ws", 1) + f"{path}?session_id={session}"
        headers = {"Cookie": self._header(path), "Origin": self.address}
        request = HTTPRequest(url, headers=headers, request_timeout=60, **self._tls)
        return Kernel(await websocket_connect(request, max_message_size=2**28), session, kernel)

    def _header(self, path: str) -> str:
        kept = sorted(
            self._cookies.items(), key=lambda item: -len(item[0][0])
        )  # the longest path first, as browsers do
        return "; ".join(f"{name}={value}" for (where, name), value in kept if path.startswith(where))

    def _token(self, path: str) -> str | None:
        found = [
            (len(where), value)
            for (where, name), value in self._cookies.items()
            if name == "_xsrf" and path.startswith(where)
        ]
        return max(found)[1] if found else None

    def _keep(self, answer: HTTPResponse) -> None:
        for header in answer.headers.get_list("Set-Cookie"):
            for name, morsel in SimpleCookie(header).items():
                self._cookies[morsel["path"] or "/", name] = morsel.value


class Kernel:
    """A kernel behind its WebSocket: it runs cells, and remembers the widgets that it was told of."""

    def __init__(self, socket, session: str, identity: str):
        self._socket, self._session, self.id = socket, session, identity
        self.widgets: dict[str, dict] = {}  # model id → state
        self.closed = asyncio.Event()
        self._waiting: dict[str, asyncio.Queue] = {}
        self._reader = asyncio.ensure_future(self._read())

    async def run(self, code: str, seconds: float = 300) -> list[dict]:
        """Run one cell; return the resulting messages, errors included."""
        content = {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": True,
        }
        return await self._send("execute_request", content, seconds)

    async def move(self, model: str, name: str, value: object, seconds: float = 60) -> list[dict]:
        """Set a widget's trait as its slider does; return what the kernel sent back until it was done."""
        data = {"method": "update", "state": {name: value}, "buffer_paths": []}
        return await self._send("comm_msg", {"comm_id": model, "data": data}, seconds)

    def sliders(self) -> list[str]:
        return [
            model
            for model, state in self.widgets.items()
            if state.get("_model_name") in ("IntSliderModel", "SelectionSliderModel", "FloatSliderModel")
        ]

    async def _send(self, kind: str, content: dict, seconds: float) -> list[dict]:
        identity, messages = uuid.uuid4().hex, []
        header = {
            "msg_id": identity,
            "msg_type": kind,
            "session": self._session,
            "username": "",
            "version": "5.4",
            "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        queue = self._waiting[identity] = asyncio.Queue()
        message = {
            "header": header,
            "parent_header": {},
            "metadata": {},
            "content": content,
            "channel": "shell",
            "buffers": [],
        }
        await self._socket.write_message(json.dumps(message))
        try:
            while True:
                message = await asyncio.wait_for(queue.get(), seconds)
                if message is None:
                    raise ConnectionError("the kernel's WebSocket was closed")
                messages.append(message)
                if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                    return messages
        finally:
            del self._waiting[identity]

    async def _read(self) -> None:
        while (raw := await self._socket.read_message()) is not None:
            message = _parsed(raw)
            content = message["content"]
            if message["msg_type"] == "comm_open":
                self.widgets[content["comm_id"]] = content["data"].get("state", {})
            elif message["msg_type"] == "comm_msg" and content["comm_id"] in self.widgets:
                self.widgets[content["comm_id"]].update(content["data"].get("state", {}))
            queue = self._waiting.get(message["parent_header"].get("msg_id"))
            if queue:
                queue.put_nowait(message)
        self.closed.set()
        for queue in self._waiting.values():
            queue.put_nowait(None)

    def close(self) -> None:
        self._socket.close()


def _parsed(raw: str | bytes) -> dict:
    """A message of the default protocol; one with buffers comes as bytes, its JSON first."""
    if isinstance(raw, str):
        return json.loads(raw)
    count = int.from_bytes(raw[:4], "big")
    offsets = [int.from_bytes(raw[4 * i : 4 * i + 4], "big") for i in range(1, count + 1)]
    return json.loads(raw[offsets[0] : offsets[1] if count > 1 else None])


def _text(answer: HTTPResponse) -> str:
    """The words of a page, for an error message."""
    return " ".join(re.sub(r"<script.*?</script>|<[^>]+>", " ", answer.body.decode(), flags=re.DOTALL).split())[:300]


def errors(messages: list[dict]) -> list[str]:
    """The exceptions among a kernel's messages."""
    return [f"{m['content']['ename']}: {m['content']['evalue']}" for m in messages if m["msg_type"] == "error"]


def printed(messages: list[dict]) -> str:
    return "".join(m["content"]["text"] for m in messages if m["msg_type"] == "stream")
