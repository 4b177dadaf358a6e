"""The bundled domain: a fictional roofing publisher's site, forum and documents, on two days, on loopback."""

from __future__ import annotations

from sovereign_tasks.demo.documents import documents, write_documents
from sovereign_tasks.demo.forum import SUBREDDIT, Comment, Thread, threads
from sovereign_tasks.demo.server import DemoServer
from sovereign_tasks.demo.site import HOST, Page, pages, resources

__all__ = [
    "HOST",
    "SUBREDDIT",
    "Comment",
    "DemoServer",
    "Page",
    "Thread",
    "documents",
    "pages",
    "resources",
    "threads",
    "write_documents",
]
