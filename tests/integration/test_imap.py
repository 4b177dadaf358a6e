"""Mail from a real IMAP server: Debian's dovecot with a folder of its own, on loopback."""

from __future__ import annotations

import getpass
import os
import pwd
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from imapclient import IMAPClient
from waiting import eventually

sys.path.append(str(Path(__file__).resolve().parent.parent / "unit" / "collect"))
from collect_helpers import EMPTY, NOW, after, run

from sovereign_tasks.collect import collect, night
from sovereign_tasks.collect.mail import MailSource
from sovereign_tasks.errors import TransientError, UserError
from sovereign_tasks.records import Validator, keyed_hash
from tests.unit.mail_corpus import OWN, make_corpus

DOVECOT = "/usr/sbin/dovecot"
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not Path(DOVECOT).exists(), reason="dovecot is not installed"),
]
CONFIG = """
base_dir = {root}/run
state_dir = {root}/state
log_path = {root}/log
listen = 127.0.0.1
protocols = imap
ssl = no
disable_plaintext_auth = no
default_login_user = {user}
default_internal_user = {user}
default_internal_group = {group}
mail_location = maildir:{root}/mail
first_valid_uid = 1
passdb {{
  driver = passwd-file
  args = scheme=plain username_format=%u {root}/users
}}
userdb {{
  driver = static
  args = uid={user} gid={group} home={root}
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
"""


@dataclass
class Server:
    """A running dovecot, and the folder of its files."""

    root: Path
    port: int
    process: subprocess.Popen[bytes]

    def client(self) -> IMAPClient:
        client = IMAPClient("127.0.0.1", self.port, ssl=False, timeout=20)
        client.login("support", "very secret")
        return client

    def answers(self) -> bool:
        assert self.process.poll() is None, (self.root / "log").read_text()
        try:
            self.client().logout()
        except OSError:
            return False
        return True

    def put(self, *messages: bytes, folder: str = "Support") -> None:
        with self.client() as client:
            if not client.folder_exists(folder):
                client.create_folder(folder)
            for message in messages:
                client.append(folder, message)

    def delete(self, *uids: int) -> None:
        with self.client() as client:
            client.select_folder("Support")
            client.delete_messages(uids)
            client.expunge()

    def flags(self) -> dict[int, tuple[bytes, ...]]:
        with self.client() as client:
            client.select_folder("Support", readonly=True)
            return {uid: got[b"FLAGS"] for uid, got in client.fetch(client.search(), ["FLAGS"]).items()}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    root = Path(tempfile.mkdtemp(prefix="dovecot-"))
    user = "nobody" if os.geteuid() == 0 else getpass.getuser()  # it serves no mail of root's
    account = pwd.getpwnam(user)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    group = Path(f"/proc/{os.getpid()}").group() if os.geteuid() else "nogroup"
    (root / "dovecot.conf").write_text(CONFIG.format(root=root, user=user, group=group, port=port))
    (root / "users").write_text("support:very secret\n")
    (root / "mail").mkdir()
    if os.geteuid() == 0:
        for path in (root, root / "mail", root / "users"):
            os.chown(path, account.pw_uid, account.pw_gid)
    root.chmod(0o755)
    with (root / "out").open("wb") as out:
        process = subprocess.Popen(
            [DOVECOT, "-F", "-c", root / "dovecot.conf"], stdout=out, stderr=out, start_new_session=True
        )
    one = Server(root, port, process)
    monkeypatch.setenv("MAIL_USER", "support")
    monkeypatch.setenv("MAIL_PASSWORD", "very secret")
    try:
        eventually(one.answers)
        yield one
    finally:
        process.terminate()
        process.wait(30)
        shutil.rmtree(root)


def source(server: Server, **imap: object) -> MailSource:
    settings = {"host": "127.0.0.1", "port": server.port, "tls": "none", "folder": "Support"}
    settings |= {"user_env": "MAIL_USER", "password_env": "MAIL_PASSWORD", **imap}
    terms = {"name": "letters", "kind": "mail", "licence": "owner", "consent": "contract", "own": [f"@{OWN}"]}
    return MailSource.model_validate({**terms, "imap": settings})


def letter(number: int, sender: str = "ava@post.example", **headers: str) -> bytes:
    fields = {"From": sender, "To": f"support@{OWN}, ava@post.example", "Subject": f"Roof {number}"}
    fields |= {"Message-ID": f"<{number}@post.example>", "Date": f"Mon, 06 Jan 2025 08:{number:02}:00 +0000"}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{name}: {value}" for name, value in fields.items()]
    return "\r\n".join([*lines, "", f"Question {number}?", ""]).encode()


def hashed(*numbers: int) -> list[str]:
    """The items of messages by their numbers, sorted as a night gives them."""
    return sorted(keyed_hash("message id", f"{n}@post.example") for n in numbers)


def test_new_deleted_and_moved_mail_and_the_servers_flags(server):
    server.put(letter(1), letter(2, f"dana@{OWN}", In_Reply_To="<1@post.example>"), letter(3))
    server.put(letter(9), folder="INBOX")
    before = server.flags()
    first = run(source(server))
    (one,), (two,), (three,), (four,) = (hashed(n) for n in (1, 2, 3, 4))
    assert {i.item: (i.parent, i.score, i.address) for i in first.items} == {
        one: ("", 0, "mail:Support"),
        two: (one, 1, "mail:Support"),
        three: ("", 0, "mail:Support"),
    }
    assert {i.item: i.body for i in first.items}[one] == letter(1)
    assert server.flags() == before
    assert not any(b"\\Seen" in flags for flags in before.values())
    state = after(EMPTY, first)
    second = run(source(server), state)
    assert second.items == second.gone == second.validators == []
    server.delete(1)
    server.put(letter(4))
    third = run(source(server), state)
    assert {i.item: i.parent for i in third.items} == {two: "", four: ""}
    assert [g.item for g in third.gone] == [one]


def test_what_was_cleared_is_given_again_and_vanishes_where_it_is_gone(server):
    server.put(letter(1), letter(2, f"dana@{OWN}", In_Reply_To="<1@post.example>"), letter(3), letter(4))
    state = after(EMPTY, run(source(server)))
    cleared = {item: Validator(item, "", "", "") for item in hashed(1, 3)}
    asked = replace(state, validators=state.validators | cleared)
    again = run(source(server), asked)
    assert [i.item for i in again.items] == hashed(1, 3)
    assert again.gone == []
    assert after(asked, again) == state
    server.delete(3)
    left = run(source(server), asked)
    assert [i.item for i in left.items] == hashed(1)
    assert [g.item for g in left.gone] == hashed(3)


def test_a_letter_that_the_server_found_forged_is_left_out(server):
    verdict = {"Authentication_Results": "mx.a.example; spf=fail; dkim=none"}
    forged = letter(2, f"dana@{OWN}", In_Reply_To="<1@post.example>", **verdict)
    server.put(letter(1), forged, letter(3, f"dana@{OWN}"))
    got = run(source(server))
    assert [i.item for i in got.items] == hashed(1, 3)
    assert got.reasons == {"forged": 1}


def test_a_new_uidvalidity_doubles_nothing(server):
    server.put(*(letter(n) for n in range(1, 8)))
    first = run(source(server))
    state = after(EMPTY, first)
    with server.client() as client:
        client.delete_folder("Support")
    server.put(*(letter(n) for n in (9, 7, 6, 4, 3, 2, 1)))
    second = run(source(server), state)
    assert second.cursor["uidvalidity"] != first.cursor["uidvalidity"]
    assert [i.item for i in second.items] == hashed(9)
    assert [g.item for g in second.gone] == hashed(5)
    state = after(state, second)
    third = run(source(server), state)
    assert third.items == third.gone == []


def test_a_killed_collection_goes_on_where_it_was(server, monkeypatch):
    monkeypatch.setattr(night, "PART_ITEMS", 7)
    corpus = make_corpus(seed=9, size=60)
    server.put(*(m.raw for m in corpus.sent if m.here), *(raw for _, raw in corpus.noise))
    whole = run(source(server))
    assert len(whole.items) == sum(m.here for m in corpus.sent)
    state = after(EMPTY, whole)
    for parts in range(1, len(whole.parts)):
        cut = run(source(server), stop_after=parts)
        between = after(EMPTY, cut)
        rest = run(source(server), between)
        assert sorted(i.item for i in [*cut.items, *rest.items]) == sorted(i.item for i in whole.items)
        assert after(between, rest) == state


def test_a_server_that_dies_in_the_middle_may_heal(server, monkeypatch):
    monkeypatch.setattr(night, "PART_ITEMS", 3)
    server.put(*(letter(n) for n in range(1, 13)))
    parts = []

    def hand_on(part):
        parts.append(part)
        os.killpg(server.process.pid, signal.SIGKILL)

    with pytest.raises(TransientError, match=r"broke off"):
        collect(source(server), EMPTY, contact="", now=NOW, hand_on=hand_on)
    assert [i.item for i in parts[0].items] == hashed(1, 2, 3)
    assert len(parts) == 1


def test_a_server_whose_certificate_nobody_vouches_for_gets_no_password(server, tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run([*request, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with suppress(OSError), listening.accept()[0] as one, context.wrap_socket(one, server_side=True) as sealed:
                sealed.recv(1)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(UserError, match=r"imap.host: localhost:\d+ has no good certificate \(self.signed"):
            run(source(server, host="localhost", port=listening.getsockname()[1], tls="required"))
        thread.join()


def test_what_the_owner_can_mend_and_what_may_heal(server, monkeypatch):
    server.put(letter(1))
    with pytest.raises(UserError, match=r"has no folder 'Suport'; name one of those it has: INBOX, Support\.$"):
        run(source(server, folder="Suport"))
    monkeypatch.setenv("MAIL_PASSWORD", "wrong")
    with pytest.raises(UserError, match=r"refuses the login; correct MAIL_USER and MAIL_PASSWORD") as refused:
        run(source(server))
    assert "wrong" not in str(refused.value)
    server.process.terminate()
    server.process.wait(30)
    with pytest.raises(TransientError, match=r"does not answer"):
        run(source(server))
