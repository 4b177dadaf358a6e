"""A chat endpoint over real HTTP: what it is sent, what is taken from it, and where it may be."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest
from pydantic import ValidationError

from sovereign_tasks import endpoint
from sovereign_tasks.endpoint import Endpoint, EndpointConfig, NoAnswer
from tests.unit.chat_server import serve

HELLO = [{"role": "user", "content": "Which?"}]


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "PAUSE_SECONDS", 0.0)


def ask(url: str, **settings: object) -> str:
    return Endpoint(EndpointConfig(endpoint=url, model="small", **settings)).ask(HELLO)


def test_a_question_is_sent_as_it_is_and_the_reply_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGE_KEY", "secret-key")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with serve(lambda body: "first") as chat:
        assert ask(f"{chat.url}/", key_env="JUDGE_KEY") == "first"
        assert ask(chat.url) == "first"
    (headers, body), (plain, _) = chat.sent
    assert (headers["authorization"], plain.get("authorization")) == ("Bearer secret-key", None)
    assert (body["model"], body["messages"], body["temperature"]) == ("small", HELLO, 0)


def test_what_passes_is_tried_again() -> None:
    replies: Iterator[str | tuple[int, bytes]] = iter([(503, b"loading"), (429, b""), "second"])
    with serve(lambda body: next(replies)) as chat:
        assert ask(chat.url) == "second"
    assert len(chat.sent) == 3


@pytest.mark.parametrize(
    ("told", "says", "tries"),
    [
        ((503, b"busy"), "answers 503", 3),
        ((401, b"who are you"), "answers 401", 1),
        ((404, b"no such model"), "answers 404", 1),
        ((307, b"http://127.0.0.1:9/v1"), "answers 307", 1),
        ((200, b"<html>"), "sends no chat completion", 1),
        ((200, b'{"choices": []}'), "sends no chat completion", 1),
        ((200, json.dumps({"choices": [{"message": {"content": None}}]}).encode()), "sends no chat completion", 1),
        ((200, b"[" * 100_000), "sends no chat completion", 1),
        ((200, b"x" * (endpoint.MAX_BYTES + 1)), "sends more than a reply", 1),
    ],
)
def test_what_is_no_answer_is_said_without_its_words(
    told: tuple[int, bytes], says: str, tries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUDGE_KEY", "secret-key")
    with serve(lambda body: told) as chat, pytest.raises(NoAnswer, match=says) as caught:
        ask(chat.url, key_env="JUDGE_KEY")
    assert len(chat.sent) == tries
    for word in ("busy", "who are you", "no such model", "<html>", "secret-key"):
        assert word not in str(caught.value)


def test_one_that_is_away_is_given_up() -> None:
    with serve(lambda body: "first") as chat:
        pass
    with pytest.raises(NoAnswer, match="can't be reached"):
        ask(chat.url)


def test_one_that_does_not_answer_in_time_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(NoAnswer, match=r"can't be reached \(ReadTimeout\)"):
            ask(f"http://127.0.0.1:{port}/v1", timeout_seconds=0.1)


@pytest.mark.parametrize(
    "address",
    ["http://8.8.8.8/v1", "https://[2606:4700::1]/v1", "http://169.254.169.254/v1", "http://[::ffff:8.8.8.8]/"],
)
def test_an_address_outside_must_be_allowed(address: str) -> None:
    with pytest.raises(ValidationError, match="is not on your network"):
        EndpointConfig(endpoint=address, model="m")
    assert EndpointConfig(endpoint=address, model="m", elsewhere=True).elsewhere


@pytest.mark.parametrize("address", ["http://127.0.0.1:11434/v1", "http://[::1]:8000/v1", "http://192.168.1.5/v1"])
def test_an_address_within_needs_no_word(address: str) -> None:
    assert EndpointConfig(endpoint=address, model="m").endpoint == address


@pytest.mark.parametrize(
    "address",
    [
        "ftp://127.0.0.1/v1",
        "127.0.0.1:11434",
        "http://",
        "http://me:word@127.0.0.1/v1",
        "http://:word@127.0.0.1/v1",
        "http://127.0.0.1:114340/v1",
        "http://127.0.0.1:abc/v1",
        f"http://{'a' * 64}.example/v1",
    ],
)
def test_what_is_no_address_is_named(address: str) -> None:
    with pytest.raises(ValidationError, match="is no address of an API"):
        EndpointConfig(endpoint=address, model="m", elsewhere=True)


def test_a_name_that_leads_outside_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    outside = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 80))]
    outside.append((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.216.34", 80)))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: outside)
    with pytest.raises(NoAnswer, match="is not on your network"):
        ask("http://judge.example/v1")


def test_a_key_stands_in_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValidationError, match="takes the name of an environment variable") as caught:
        EndpointConfig(endpoint="http://127.0.0.1/v1", model="m", key_env="sk-secret")
    assert "sk-secret" not in caught.value.errors()[0]["msg"]
    monkeypatch.delenv("JUDGE_KEY", raising=False)
    with pytest.raises(NoAnswer, match="asks for a key, and JUDGE_KEY is not set"):
        ask("http://127.0.0.1:9/v1", key_env="JUDGE_KEY")
    monkeypatch.setenv("JUDGE_KEY", "a\nb")  # no header can hold it
    with pytest.raises(NoAnswer, match="can't be reached"):
        ask("http://127.0.0.1:9/v1", key_env="JUDGE_KEY")
