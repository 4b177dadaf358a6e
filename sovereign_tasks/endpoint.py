"""Models behind an OpenAI-style chat endpoint, on the owner's machines unless the owner says otherwise."""

from __future__ import annotations

import ipaddress
import json
import os
import re
import socket
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from sovereign_tasks.records import Message
from sovereign_tasks.strict_yaml import StrictConfig

TRIES = 3
CONNECT_SECONDS, PAUSE_SECONDS = 5.0, 0.5
MAX_BYTES = 1_000_000
MAX_TOKENS = 512  # room for a model that thinks before it says its word
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_HERE = [
    ipaddress.ip_network(network)
    for network in ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7")
]


class NoAnswer(Exception):
    """An endpoint that gave nothing to work with; says why, without a word of what it sent."""


class EndpointConfig(StrictConfig):
    """Where a model answers."""

    endpoint: str
    """Address of an OpenAI-style API, such as http://127.0.0.1:11434/v1 of Ollama."""
    model: str = Field(min_length=1)
    """Name of the model there."""
    key_env: str = ""
    """Name of the environment variable that holds the key it asks for, as JUDGE_KEY."""
    elsewhere: bool = False
    """Whether it may be on somebody else's machine, to which questions and answers are then sent."""
    timeout_seconds: float = Field(120.0, gt=0)
    """Time for one reply."""

    @field_validator("endpoint")
    @classmethod
    def _an_address(cls, endpoint: str) -> str:
        if not _is_address(endpoint):  # it may hold a password: don't repeat it
            raise ValueError("is no address of an API; write it as http://127.0.0.1:11434/v1")
        return endpoint.rstrip("/")

    @field_validator("key_env")
    @classmethod
    def _name_of_variable(cls, name: str) -> str:
        if name and not re.fullmatch(r"[A-Z][A-Z0-9_]*", name):  # it may be the key itself: don't repeat it
            raise ValueError("takes the name of an environment variable, in capitals as JUDGE_KEY")
        return name

    @model_validator(mode="after")
    def _stays_here(self) -> EndpointConfig:
        try:
            here = _is_here(urlsplit(self.endpoint).hostname or "")
        except ValueError:  # a name, which is looked up when it is asked
            return self
        if not here and not self.elsewhere:
            raise ValueError(f"{self.endpoint} is not on your network: name one that is, or say elsewhere: true")
        return self


class Endpoint:
    """A conversation partner; every question stands alone."""

    def __init__(self, config: EndpointConfig) -> None:
        self.config = config

    def ask(self, messages: Sequence[Message]) -> str:
        """The model's reply at temperature 0; `NoAnswer` where there is none after some tries."""
        import requests

        self._check_place()
        why = ""
        for attempt in range(TRIES):
            time.sleep(PAUSE_SECONDS * attempt)
            try:
                status, body = self._post({"messages": list(messages), "temperature": 0, "max_tokens": MAX_TOKENS})
            except (requests.RequestException, ValueError, OSError) as e:
                why = f"can't be reached ({type(e).__name__})"
                continue
            if status == 200:
                return _text(self.config.endpoint, body)
            why = f"answers {status}"
            if status not in _PASSING:
                break
        raise NoAnswer(f"{self.config.endpoint} {why}")

    def _post(self, question: dict[str, Any]) -> tuple[int, bytes]:
        import requests

        config = self.config
        key = os.environ.get(config.key_env, "") if config.key_env else ""
        if config.key_env and not key:
            raise NoAnswer(f"{config.endpoint} asks for a key, and {config.key_env} is not set")
        with requests.Session() as session:
            session.trust_env = False  # no proxy, and no credentials from ~/.netrc
            with session.post(
                f"{config.endpoint}/chat/completions",
                json={"model": config.model, "stream": False} | question,
                headers={"Authorization": f"Bearer {key}"} if key else {},
                timeout=(CONNECT_SECONDS, config.timeout_seconds),
                allow_redirects=False,  # it could lead out of the house
                stream=True,
            ) as response:
                until = time.monotonic() + config.timeout_seconds
                body = b""
                for part in response.iter_content(65_536):
                    body += part
                    if len(body) > MAX_BYTES or time.monotonic() > until:
                        raise NoAnswer(f"{config.endpoint} sends more than a reply, or too slowly")
                return response.status_code, body

    def _check_place(self) -> None:
        """Raise `NoAnswer` where the endpoint's name leads out of the owner's network, unless it may."""
        parts = urlsplit(self.config.endpoint)
        if self.config.elsewhere:
            return
        try:
            found = socket.getaddrinfo(parts.hostname, parts.port or parts.scheme, type=socket.SOCK_STREAM)
        except (OSError, ValueError):  # also of a name that can't be written for the network
            raise NoAnswer(f"{self.config.endpoint} can't be found") from None
        if not all(_is_here(place[0].partition("%")[0]) for *_, place in found):
            raise NoAnswer(f"{self.config.endpoint} is not on your network, and elsewhere is not true")


def _is_address(endpoint: str) -> bool:
    """Whether it is a web address with a name and a port that can be, and nothing of a login or a query."""
    try:
        parts = urlsplit(endpoint)
        host, _ = parts.hostname or "", parts.port
        labels = host.encode("idna") if host else b""
    except ValueError:
        return False
    return bool(parts.scheme in ("http", "https") and labels) and "@" not in parts.netloc and not parts.query


def _is_here(address: str) -> bool:
    """Whether an IP address is of this machine or a private network; a ValueError for what is no address."""
    ip = ipaddress.ip_address(address)
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return any(ip in network for network in _HERE)


def _text(endpoint: str, body: bytes) -> str:
    try:
        text = json.loads(body)["choices"][0]["message"]["content"]
    except (ValueError, LookupError, TypeError, RecursionError):
        text = None
    if not isinstance(text, str):
        raise NoAnswer(f"{endpoint} sends no chat completion")
    return text
