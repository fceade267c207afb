"""A state that is looked up anew whenever somebody rings."""

import asyncio
from contextlib import nullcontext

import pytest

from web import news
from web.news import Bell, Retold


async def test_however_often_it_rings_a_viewer_looks_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    bell, looks = Bell(), 0

    async def look() -> bytes:
        nonlocal looks
        looks += 1
        bell.ring()  # there is news all the time
        return str(looks).encode()

    with Retold(nullcontext(bell), look, every_s=60.0) as feed:
        assert await feed.first() == b"1"
        assert await feed.next() == b"2"
        monkeypatch.setattr(news, "_AGAIN_S", 60.0)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await feed.next()
    assert looks == 2
