"""Asks an ASGI application without a network. Starlette's own TestClient warns that it will no longer use httpx."""

import asyncio

import httpx


class Client:
    """One who asks, and keeps the cookies; redirects are not followed."""

    def __init__(self, app, base_url="http://127.0.0.1"):
        self._transport, self._base = httpx.ASGITransport(app), base_url
        self.cookies = {}

    def request(self, method, path, **options):
        async def ask():
            async with httpx.AsyncClient(
                transport=self._transport, base_url=self._base, cookies=self.cookies
            ) as client:
                return await client.request(method, path, **options)

        answer = asyncio.run(ask())
        self.cookies |= dict(answer.cookies)
        return answer

    def get(self, path, **options):
        return self.request("GET", path, **options)

    def post(self, path, **options):
        return self.request("POST", path, **options)

    def delete(self, path, **options):
        return self.request("DELETE", path, **options)
