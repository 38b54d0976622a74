"""Let callers order, describe and delete images, with verbs that read as sentences."""

from dataclasses import dataclass
from typing import Any

import httpx

from tests.http.house import EDITS, GENERATIONS, check_error
from tests.http.tenants import follow, order


@dataclass(frozen=True, slots=True)
class Caller:
    """A caller of a gateway, with or without credentials."""

    client: httpx.Client

    def orders(self, prompt: str, **fields: object) -> httpx.URL:
        """Order one image and return its link."""
        return order(self.client, prompt, **fields)

    def asks_for(self, prompt: str, *, cache_control: str = "", **fields: object) -> httpx.Response:
        """Order images and return the whole answer."""
        body = {"model": "dall-e-3", "prompt": prompt, **fields}
        headers = {"cache-control": cache_control} if cache_control else {}
        answer = self.client.post(GENERATIONS, json=body, headers=headers)
        assert answer.status_code == 200, answer.text
        return answer

    def edits(self, image: bytes, **fields: str) -> httpx.Response:
        """Edit an image and return the whole answer."""
        files = {"image": ("a.png", image, "image/png")}
        answer = self.client.post(EDITS, files=files, data={"response_format": "url", **fields})
        assert answer.status_code == 200, answer.text
        return answer

    def deletes(self, link: httpx.URL, **query: str) -> httpx.Response:
        """Delete the image of a link."""
        return self.client.delete(link.path, params=query)

    def asks_about(self, link: httpx.URL, **query: str) -> httpx.Response:
        """Ask for the description of the image of a link."""
        return self.client.get(f"{link.path}/info", params=query)

    def reads_about(self, link: httpx.URL, **query: str) -> dict[str, Any]:
        """Return the description of the image of a link."""
        return _read(self.asks_about(link, **query))

    def asks_for_usage(self, **query: str) -> httpx.Response:
        """Ask for usage."""
        return self.client.get("/v1/usage", params=query)

    def reads_usage(self, **query: str) -> dict[str, Any]:
        """Return usage."""
        return _read(self.asks_for_usage(**query))


@dataclass(frozen=True, slots=True)
class People:
    """Callers of one gateway.

    Anna, Ben and the service are of the team *shop*. The operator has the admin key.
    """

    anna: Caller
    ben: Caller
    service: Caller
    anna_of_the_lab: Caller
    admin: Caller
    operator: Caller


def links_of(answer: httpx.Response) -> list[httpx.URL]:
    """Return the links of an answer."""
    return [httpx.URL(entry["url"]) for entry in answer.json()["data"]]


def link_of(answer: httpx.Response) -> httpx.URL:
    """Return the only link of an answer."""
    (link,) = links_of(answer)
    return link


def name_of(link: httpx.URL) -> str:
    """Return the name of the image of a link."""
    return link.path.rpartition("/")[2]


def check_served(*links: httpx.URL) -> None:
    """Check that links lead to their images."""
    assert [follow(link).status_code for link in links] == [200] * len(links)


def check_gone(*links: httpx.URL) -> None:
    """Check that links say that their images are gone."""
    for link in links:
        answer = follow(link)
        check_error(answer, 410, code="image_gone", param=None)
        assert answer.headers["cache-control"] == "no-store"
        assert follow(link, "HEAD").status_code == 410


def check_no_image(answer: httpx.Response) -> str:
    """Check that an answer knows no such image; returns its message."""
    return check_error(answer, 404, code="image_not_found", param=None)


def _read(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    record: dict[str, Any] = answer.json()
    return record
