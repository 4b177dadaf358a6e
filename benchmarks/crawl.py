"""A night's crawl against Scrapy at the same politeness: pages a second, CPU a page, and the most memory of each.

    make bench                      # all benchmarks
    python benchmarks/crawl.py      # this one, about five minutes

A farm in a process of its own serves 20 hosts of 100 pages on loopback, each answer after a delay. Both crawlers, one
after the other and each in a process of its own, obey robots.txt, follow the links, ask a host one page at a time and
not more often than every quarter of a second, and keep the bodies in Parquet files; that they kept the same pages, to
the byte, is checked. Pages a second count from the first page asked to the last one answered, as the farm saw it; CPU
is that of the crawl, memory that of the whole process. Then both meet sites of a hundred and of a thousand pages,
smaller and sooner answered, for how memory grows. The last line is one JSON object.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import Any
from urllib.request import urlopen

import pyarrow.parquet as pq

HOSTS = [f"www.host{n:02}.example" for n in range(20)]
FORBIDDEN = "/private"
SPAWN = get_context("spawn")


@dataclass(frozen=True)
class Farm:
    """Every host's pages, their bytes at least and at most, seconds to an answer, and seconds between requests."""

    pages: int
    size: tuple[int, int]
    latency: float
    distance: float


USUAL = Farm(pages=100, size=(10_000, 40_000), latency=0.05, distance=0.25)
SMALL = Farm(pages=100, size=(2_000, 6_000), latency=0.005, distance=0.04)
TENFOLD = replace(SMALL, pages=1_000)

# What a crawler is given: the farm, its port, a folder of its own; and what it tells: CPU seconds, bytes of memory.
Crawler = Callable[[Farm, int, Path], tuple[float, int]]


def main() -> None:
    crawlers = {"sovereign": crawl, "scrapy": crawl_with_scrapy}
    farms = {"usual": USUAL, "small": SMALL, "tenfold": TENFOLD}
    got: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in farms}
    for kind, farm in farms.items():
        pages = []
        for name, crawler in crawlers.items():
            with tempfile.TemporaryDirectory(prefix="sovereign-bench-") as folder:
                got[kind][name], kept_pages = measure(crawler, farm, Path(folder))
            pages.append(kept_pages)
            print(f"{kind:8} {name:10}", *(f"  {key} {value}" for key, value in got[kind][name].items()))
        if pages[0] != pages[1]:
            raise SystemExit("the crawlers didn't keep the same bodies, so they can't be compared")

    def both(kind: str, key: str) -> dict[str, Any]:
        return {name: got[kind][name][key] for name in crawlers}

    small, tenfold, speed = both("small", "peak_mb"), both("tenfold", "peak_mb"), both("usual", "pages_per_second")
    print(
        json.dumps(
            {
                "benchmark": "crawl",
                "claim": "a crawl is as fast as Scrapy's at the same politeness, and its memory flat as sites grow",
                "value": round(speed["sovereign"] / speed["scrapy"], 3),
                "unit": "ratio of pages a second",
                "peer": "scrapy",
                **{key: both("usual", key) for key in got["usual"]["scrapy"]},
                "peak_mb_small": small,
                "peak_mb_tenfold": tenfold,
                "growth_tenfold": {name: round(tenfold[name] / small[name], 3) for name in crawlers},
                "pages": USUAL.pages * len(HOSTS),
                "seconds_between_requests": USUAL.distance,
            }
        )
    )


def measure(crawler: Crawler, farm: Farm, folder: Path) -> tuple[dict[str, Any], dict[str, int]]:
    """The figures of one crawl of a farm, and its pages with their checksums; it is seen to have been polite."""
    with serve(farm) as port:
        with ProcessPoolExecutor(1, mp_context=SPAWN) as own:
            cpu, peak = own.submit(crawler, farm, port, folder).result()
        with urlopen(f"http://127.0.0.1:{port}/log") as answer:
            log = json.load(answer)
    pages = kept(folder)
    if pages.keys() != {address(host, port, n) for host in HOSTS for n in range(farm.pages)}:
        raise SystemExit(f"{crawler.__name__} didn't keep every page once")
    asked = [visit for visit in log if visit["path"][1:].isdigit()]
    by_host = [sorted((v["begin"], v["end"]) for v in log if v["host"] == host) for host in HOSTS]
    pairs = [pair for visits in by_host for pair in pairwise(visits)]
    if any(v["path"].startswith(FORBIDDEN) for v in log) or any(second[0] < first[1] for first, second in pairs):
        raise SystemExit(f"{crawler.__name__} asked what robots.txt forbids, or a host twice at the same time")
    seconds = max(v["end"] for v in asked) - min(v["begin"] for v in asked)
    figures = {
        "pages_per_second": round(len(asked) / seconds, 2),
        "cpu_ms_per_page": round(1000 * cpu / len(asked), 2),
        "peak_mb": round(peak / 1e6, 1),
        "requests": len(log),
        "closest_requests": round(min(second[0] - first[0] for first, second in pairs), 3),
    }
    return figures, {a.replace(str(port), ""): checksum for a, checksum in pages.items()}


def kept(folder: Path) -> dict[str, int]:
    """Every page that a crawler kept, with the checksum of its bytes; a page kept twice is an error."""
    found: list[tuple[str, int]] = []
    for path in folder.rglob("raw-*.parquet"):
        rows = pq.read_table(path, columns=["address", "body"])
        found += zip(rows["address"].to_pylist(), map(zlib.crc32, rows["body"].to_pylist()), strict=True)
    pages = dict(found)
    if len(pages) != len(found):
        raise SystemExit(f"{folder.name}: {len(found) - len(pages)} pages were kept twice")
    return pages


def address(host: str, port: int, number: int) -> str:
    return f"http://{host}:{port}/{number}"


# --- the crawlers, each in a process that does nothing else ---


def crawl(farm: Farm, port: int, folder: Path) -> tuple[float, int]:
    """This project's crawl, with its parts written as the stage writes them."""
    os.environ["SOVEREIGN_KEY"] = "00" * 32
    from sovereign_tasks.collect import collect
    from sovereign_tasks.collect.web import WebSource
    from sovereign_tasks.curate import pii  # noqa: F401 - the first part would import it, at the crawl's cost
    from sovereign_tasks.records import SourceState
    from sovereign_tasks.stages.context import Context
    from sovereign_tasks.stages.parts import Parts
    from sovereign_tasks.store import Store

    source = WebSource(
        name="farm",
        kind="web",
        licence="owner",
        consent="own-content",
        start=[address(host, port, 0) for host in HOSTS],
        connect_to=dict.fromkeys(HOSTS, f"127.0.0.1:{port}"),
        requests_per_second=1 / farm.distance,
        max_pages=2 * farm.pages * len(HOSTS),
        max_depth=farm.pages,
    )
    parts = Parts(Context(None, "night", None, Store("model", str(folder))), source.name)
    began = time.process_time()
    collect(source, SourceState({}, {}, []), contact="", now=datetime.now(UTC), hand_on=parts.hand_on)
    parts.close()
    return time.process_time() - began, most_memory()


def crawl_with_scrapy(farm: Farm, port: int, folder: Path) -> tuple[float, int]:
    """Scrapy's crawl, set to the same politeness; what else it would do by default is off."""
    import pyarrow as pa
    import scrapy
    from scrapy.crawler import CrawlerProcess
    from scrapy.resolver import dnscache

    class Spider(scrapy.Spider):
        name = "farm"

        async def start(self):
            for host in HOSTS:
                yield scrapy.Request(address(host, port, 0))

        def parse(self, response):
            yield {
                "address": response.url,
                "body": response.body,
                "media_type": response.headers["Content-Type"].decode(),
                "etag": response.headers["ETag"].decode(),
            }
            yield from response.follow_all(css="a")

    class Files:
        """A Parquet file for every hundred pages, as this project's crawl has it."""

        def __init__(self):
            self.rows, self.files = [], 0

        def process_item(self, item):
            self.rows.append(item)
            if len(self.rows) == 100:
                self.close_spider()
            return item

        def close_spider(self):
            if self.rows:
                pq.write_table(pa.Table.from_pylist(self.rows), folder / f"raw-{self.files:05}.parquet")
                self.rows, self.files = [], self.files + 1

    settings = {
        "ROBOTSTXT_OBEY": True,
        "DOWNLOAD_DELAY": farm.distance,
        "DOWNLOAD_DELAY_JITTER": 0,
        "CONCURRENT_REQUESTS_PER_DOMAIN": 1,
        "CONCURRENT_REQUESTS": 100,  # as its documentation has it for many hosts
        "ITEM_PIPELINES": {Files: 1},
        "COOKIES_ENABLED": False,
        "RETRY_ENABLED": False,
        "TELNETCONSOLE_ENABLED": False,
        "LOG_LEVEL": "ERROR",
    }
    dnscache.update(dict.fromkeys(HOSTS, "127.0.0.1"))
    process = CrawlerProcess(settings)
    process.crawl(Spider)
    began = time.process_time()
    process.start()
    return time.process_time() - began, most_memory()


def most_memory() -> int:
    """The most memory (RSS, bytes) that this process has held."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


# --- the farm ---


@contextmanager
def serve(farm: Farm) -> Iterator[int]:
    """Serve a farm in a process of its own; the port."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
        process = SPAWN.Process(target=run_farm, args=(farm, listening))
        process.start()
        try:
            yield listening.getsockname()[1]
        finally:
            process.terminate()
            process.join()


def run_farm(farm: Farm, listening: socket.socket) -> None:
    """Answer what is asked, and at /log tell what was: host, path, when the request came and the answer went."""
    import uvicorn

    log: list[dict[str, Any]] = []
    turns: Counter[str] = Counter()

    async def answer(scope, receive, send) -> None:
        begin, path = time.monotonic(), scope["path"]
        host = dict(scope["headers"])[b"host"].decode().partition(":")[0]
        number = int(path[1:]) if path[1:].isdigit() else farm.pages
        status, kind, body = 404, "text/html", b"<p>Not found"
        if path == "/log":
            status, kind, body = 200, "application/json", json.dumps(log).encode()
        elif path == "/robots.txt":
            status, kind, body = 200, "text/plain", f"User-agent: *\nDisallow: {FORBIDDEN}\n".encode()
        elif number < farm.pages:
            status, kind, body = 200, "text/html; charset=utf-8", page(farm, host, number)
        turns[host] += 1
        jitter = Random(f"{host} {turns[host]}").uniform(0.8, 1.2)  # noqa: S311
        await asyncio.sleep(farm.latency * jitter)
        headers = {"content-type": kind, "content-length": str(len(body)), "etag": f'"{zlib.crc32(body):x}"'}
        pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": pairs})
        log.append({"host": host, "path": path, "begin": begin, "end": time.monotonic()})
        await send({"type": "http.response.body", "body": body})

    config = uvicorn.Config(answer, log_level="error", lifespan="off", timeout_keep_alive=60)
    asyncio.run(uvicorn.Server(config).serve(sockets=[listening]))


def page(farm: Farm, host: str, number: int) -> bytes:
    """A page with the usual chrome, text, and links to twenty pages of its host, three of which make a tree."""
    chance = Random(f"{host}/{number}")  # noqa: S311
    size = chance.randint(*farm.size)
    near = [n for n in range(3 * number + 1, 3 * number + 4) if n < farm.pages]
    links = near + chance.sample(range(farm.pages), 20 - len(near))
    parts = [
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>Page {number} of {host}</title>"
        "<meta name='description' content='A page'><link rel='stylesheet' href='/style.css'>"
        "<script>window.settings = {consent: false, shop: '/shop'};</script></head><body><header><nav><ul>",
        *(f"<li class='item'><a class='link' href='/{n}'>Page {n}</a></li>" for n in links),
        f"<li><a href='{FORBIDDEN}/account'>Account</a></li></ul></nav></header><main><h1>Page {number}</h1>",
    ]
    left = size - sum(map(len, parts))
    while left > 0:
        parts.append(chance.choice(paragraphs()))
        left -= len(parts[-1])
    return "".join([*parts, "</main><footer><p>Imprint and terms.</p></footer></body></html>"]).encode()


@cache
def paragraphs() -> list[str]:
    """Paragraphs to make pages of, as dense in tags as an article is."""
    chance = Random(0)  # noqa: S311
    words = "roof slate tile gutter ridge valley batten nail felt lead flashing chimney eaves pitch rafter".split()

    def sentence() -> str:
        return " ".join(chance.choices(words, k=chance.randint(8, 20))).capitalize() + "."

    return [
        f"<h2 class='head'>{sentence()}</h2><div class='text'><p>{sentence()} <em>{sentence()}</em> {sentence()}</p>"
        f"<p>{sentence()} <strong>{sentence()}</strong></p><ul><li>{sentence()}</li><li>{sentence()}</li></ul></div>"
        for _ in range(200)
    ]


if __name__ == "__main__":
    main()
