"""Check the composition: its start, orders through HAProxy, Valkey's accounts, Prometheus, its end and its return."""

import json
import re
import threading
import time
from pathlib import Path

import httpx
import orjson

from tests.container.proofs import Proofs
from tests.container.shell import Failed, run
from tests.container.stack import GATEWAYS, Stack, wait_until_ready

_CAT = "a white siamese cat"
_PNG = b"\x89PNG"
_PROVISIONED = "deploy/grafana/provisioning"
_SCRAPES_S = 45.0


def check_start(stack: Stack, proofs: Proofs) -> None:
    """Write the secrets, and start everything."""
    # What an interrupted run has left.
    stack.compose("--profile", "s3", "down", "--volumes")
    run(["sh", str(stack.directory / "deploy/make-secrets")])
    before = {path: path.read_bytes() for path in sorted((stack.directory / "deploy/secrets").iterdir())}
    again = run(["sh", str(stack.directory / "deploy/make-secrets")])
    proofs.hold(
        again == "" and before == {path: path.read_bytes() for path in before},
        f"deploy/make-secrets wrote {len(before)} files, and keeps them when it runs again",
    )
    began_s = time.monotonic()
    stack.up()
    proofs.hold(True, f"up: {', '.join(stack.services())}; healthy after {time.monotonic() - began_s:.0f} s")


def check_containers(stack: Stack, proofs: Proofs) -> None:
    """Check the rights of each container."""
    services = [name for name in stack.services() if name != "grafana"]
    found = {name: stack.container(name)["HostConfig"] for name in services}
    lax = [name for name, host in found.items() if not host["ReadonlyRootfs"] or not host["CapDrop"]]
    proofs.hold(lax == [], f"read-only, without capabilities: {', '.join(services)}", lax)
    text = json.dumps([stack.container(name)["Config"]["Env"] for name in services])
    secrets = [path.read_text("utf-8") for path in (stack.directory / "deploy/secrets").iterdir()]
    seen = [value for value in secrets if len(value) > 16 and value in text]
    proofs.hold(seen == [], "no secret is in the environment of a container", len(seen))


def check_valkey(stack: Stack, proofs: Proofs) -> None:
    """Check the accounts of Valkey: one for the gateways, one that may only ping."""
    anonymous = stack.execute("valkey", "valkey-cli", "get", "ig:1")
    pinging = ["valkey-cli", "--no-auth-warning", "--user", "health", "--pass", "none"]
    answers = [
        anonymous,
        *(stack.execute("valkey", *pinging, *words) for words in (("ping",), ("get", "ig:1"))),
    ]
    words = [answer.split()[0] if answer else "" for answer in answers]
    proofs.hold(
        words == ["NOAUTH", "PONG", "NOPERM"],
        "Valkey: no account, no answer; the health check may only ping",
        answers,
    )


def check_orders(stack: Stack, proofs: Proofs) -> list[str]:
    """Check orders through HAProxy; returns links to images."""
    ready = httpx.get(f"{stack.url}/readyz?verbose", timeout=10, trust_env=False)
    proofs.hold(
        ready.status_code == 200 and not re.search("degraded|failing", ready.text),
        "/readyz?verbose through HAProxy: nothing is degraded or failing",
        ready.text,
    )
    first = stack.order(_CAT, n=2)
    seen = (first.status_code, first.headers.get("x-cache"))
    proofs.hold(
        seen == (200, "miss"), f"dall-e-3, n=2: 200, {first.headers.get('server-timing')}", first.text
    )
    links = [one["url"] for one in first.json()["data"]]
    images = [httpx.get(link, timeout=20, trust_env=False) for link in links]
    proofs.hold(
        len(links) == 2
        and all(link.startswith(f"{stack.url}/") for link in links)
        and all(map(_is_png, images)),
        "both links begin with the public URL and give a PNG",
        [(link.partition("?")[0], image.status_code) for link, image in zip(links, images, strict=True)],
    )
    hits = [stack.order(_CAT, n=2) for _ in range(4)]
    proofs.hold(
        all((hit.headers.get("x-cache"), hit.headers.get("x-cost-microusd")) == ("hit", "0") for hit in hits),
        f"the same again, four times: cache hits without cost, {hits[-1].headers.get('server-timing')}",
        [hit.headers.get("x-cache") for hit in hits],
    )
    scraped = httpx.get(f"{stack.url}/metrics", timeout=10, trust_env=False).status_code
    proofs.hold(scraped == 404, "HAProxy does not lead to the metrics", scraped)
    _check_stream(stack, proofs)
    answered = _answers_of_gateways(stack)
    proofs.hold(
        len(answered) == 2 and all(answered.values()), f"HAProxy uses both gateways: {answered}", answered
    )
    return links


def check_data_source(stack: Stack, proofs: Proofs, *, revision: str) -> None:
    """Check Prometheus at the address that Grafana is provisioned with, and Grafana's files."""
    source = _url_of_data_source(stack.directory)
    targets = _wait_for_targets(stack, source)
    proofs.hold(
        len(targets) == len(GATEWAYS) and set(targets.values()) == {revision},
        f"{source} answers as data source: {', '.join(targets)} run revision {revision[:9]}",
        targets,
    )
    rules = stack.fetch_inside(f"{source}/api/v1/rules")["data"]["groups"]
    ill = [rule["name"] for group in rules for rule in group["rules"] if rule["health"] == "err"]
    count = sum(len(group["rules"]) for group in rules)
    proofs.hold(ill == [] and count > 0, f"{count} rules are loaded, none fails", ill)
    grafana = stack.described()["services"]["grafana"]
    mounted = {one["target"]: Path(one["source"]) for one in grafana["volumes"] if one["type"] == "bind"}
    [path] = re.findall(r"(?m)^ +path: (\S+)$", _read(stack.directory, "dashboards"))
    dashboards = {
        file.name: orjson.loads(file.read_bytes())["title"] for file in sorted(mounted[path].glob("*.json"))
    }
    proofs.hold(
        len(dashboards) >= 4 and mounted["/etc/grafana/provisioning"] == stack.directory / _PROVISIONED,
        f"Grafana's provisioning names the folder that is mounted, with {len(dashboards)} dashboards",
        dashboards,
    )


def check_end_and_return(stack: Stack, links: list[str], proofs: Proofs) -> None:
    """Check that an order in flight survives the stop, and that new containers find what the old ones kept."""
    stack.set_latency(4)
    answers: list[httpx.Response] = []
    customer = threading.Thread(target=lambda: answers.append(stack.order("a lighthouse at dusk", n=2)))
    customer.start()
    time.sleep(1.5)
    began_s = time.monotonic()
    stack.compose("stop")
    lasted_s = time.monotonic() - began_s
    customer.join()
    statuses = [answer.status_code for answer in answers]
    proofs.hold(
        statuses == [200],
        f"an order of four seconds was answered during `docker compose stop` ({lasted_s:.0f} s)",
        statuses,
    )
    codes = {
        name: stack.container(name)["State"]["ExitCode"]
        for name in (*GATEWAYS, "haproxy", "valkey", "prometheus")
    }
    proofs.hold(set(codes.values()) == {0}, f"exit code 0: {', '.join(codes)}", codes)
    stack.compose("down")
    stack.up()
    wait_until_ready(stack)
    again, image = stack.order(_CAT, n=2), httpx.get(links[0], timeout=20, trust_env=False)
    proofs.hold(
        again.headers.get("x-cache") == "hit" and _is_png(image),
        "down and up again on the same volumes: a cache hit, and an old link works",
        (again.status_code, again.headers.get("x-cache"), image.status_code),
    )


def check_bucket(stack: Stack, proofs: Proofs) -> None:
    """Check the profile that keeps images in SeaweedFS."""
    stack.use_bucket()
    stack.up()
    wait_until_ready(stack)
    answer = stack.order("a bucket of paint", n=2)
    links = [one["url"] for one in answer.json().get("data", ())]
    images = [httpx.get(link, timeout=20, trust_env=False) for link in links]
    listing = stack.execute(
        "seaweedfs", "sh", "-c", "echo fs.du /buckets/images | weed shell -master=seaweedfs:9333"
    )
    found = re.findall(r"logical size: *(\d+).*/buckets/images", listing)
    proofs.hold(
        len(images) == 2 and all(map(_is_png, images)) and found != [] and int(found[0]) > 0,
        f"profile s3: two images ordered, both links work, SeaweedFS holds {'+'.join(found)} bytes",
        (answer.status_code, answer.text[:200], listing),
    )


def print_logs(stack: Stack) -> None:
    """Print the end of the logs of all containers."""
    command = ["logs", "--no-color", "--tail", "15"]
    try:
        print(stack.compose(*command))
    except Failed as error:
        print(error)


def _check_stream(stack: Stack, proofs: Proofs) -> None:
    stack.set_latency(1)
    body = {"model": "gpt-image-2", "prompt": "a harbour", "stream": True, "partial_images": 2}
    began_s = time.monotonic()
    url = f"{stack.url}/v1/images/generations"
    with httpx.stream("POST", url, json=body, timeout=60, trust_env=False) as answer:
        seen = [
            (line.removeprefix("event: "), time.monotonic() - began_s)
            for line in answer.iter_lines()
            if line.startswith("event: ")
        ]
    stack.set_latency(0)
    names = [name for name, _ in seen]
    expected = ["image_generation.partial_image"] * 2 + ["image_generation.completed"]
    apart = {at_s for _, at_s in seen}
    times = ", ".join(f"{at_s * 1000:.0f}" for _, at_s in seen)
    proofs.hold(
        names == expected and len(apart) == 3, f"a stream arrives event by event, after {times} ms", seen
    )


def _answers_of_gateways(stack: Stack) -> dict[str, int]:
    """Return the answers of each gateway that is up, as HAProxy counts them."""
    text = stack.execute("haproxy", "wget", "-q", "-O", "-", "http://127.0.0.1:8405/metrics")
    found: dict[str, int] = {}
    name = r'haproxy_server_http_responses_total\{proxy="gateways",server="([^"]+)",code="2xx"\} (\d+)'
    for server, count in re.findall(name, text):
        if int(count):
            found[server] = int(count)
    return found


def _wait_for_targets(stack: Stack, source: str) -> dict[str, str]:
    """Return the revisions of the gateways that Prometheus has scraped; waits for its first scrape."""
    deadline_s = time.monotonic() + _SCRAPES_S
    while True:
        up = stack.fetch_inside(f"{source}/api/v1/query?query=imagegw_build_info")["data"]["result"]
        targets = {one["metric"]["instance"]: one["metric"]["revision"] for one in up}
        if len(targets) >= len(GATEWAYS) or time.monotonic() > deadline_s:
            return targets
        time.sleep(1)


def _url_of_data_source(directory: Path) -> str:
    [url] = re.findall(r"(?m)^ +url: (http\S+)$", _read(directory, "datasources"))
    return str(url)


def _read(directory: Path, folder: str) -> str:
    [file] = (directory / _PROVISIONED / folder).glob("*.y*ml")
    return file.read_text("utf-8")


def _is_png(answer: httpx.Response) -> bool:
    return answer.status_code == 200 and answer.content.startswith(_PNG)
