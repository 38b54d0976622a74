"""The command line: `image-gateway …`."""

import os
import sys
from pathlib import Path
from typing import Annotated

import httpx
import orjson
import pybase64
import typer

from service.adapters.logs import configure_logs
from service.app import create_app
from service.commands import cache, keys, people, policies, teams, usage
from service.commands.surface import explain, fail, read_settings, warn_of_unknown_variables
from service.serve.children import ChildFailed
from service.serve.supervisor import serve
from service.settings.problems import SettingsError
from service.settings.variables import Settings
from service.wiring.checks import check_settings
from service.wiring.ground import Surroundings

cli = typer.Typer(
    help="One service for all image generation of a company: the OpenAI Images API, cached, limited, accounted for.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

for name, group in (
    ("keys", keys.app),
    ("teams", teams.app),
    ("policies", policies.app),
    ("usage", usage.app),
    ("cache", cache.app),
):
    cli.add_typer(group, name=name)
cli.command()(people.purge)
cli.command()(people.audit)


@cli.command("serve")
def serve_command() -> None:
    """Serve until stopped. Configured by GATEWAY_* variables: see `image-gateway config`."""
    settings = read_settings()
    warn_of_unknown_variables()
    configure_logs(settings.log_level)
    try:
        check_settings(settings)
        serve(settings, explain)
    except (SettingsError, ChildFailed) as error:
        fail(str(error))


@cli.command()
def config() -> None:
    """Check the settings and show what is in force; secrets are not shown."""
    settings = read_settings()
    warn_of_unknown_variables()
    try:
        check_settings(settings)
    except SettingsError as error:
        fail(str(error))
    typer.echo(settings.model_dump_json(indent=2))


@cli.command()
def openapi() -> None:
    """Print the OpenAPI document."""
    surroundings = Surroundings(redis_url="", sandbox_url=None, public_url="", secrets=("",))
    document = create_app(Settings.model_construct(), surroundings).openapi()
    typer.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2))


@cli.command()
def generate(  # noqa: PLR0913, PLR0917 - one parameter an option
    prompt: Annotated[str, typer.Argument(help="What the image shows.")],
    model: Annotated[str, typer.Option(help="Any model of GET /v1/models.")] = "dall-e-3",
    n: Annotated[int, typer.Option("-n", help="How many images, 1 to 10.")] = 1,
    size: Annotated[
        str | None, typer.Option(help="Such as 1024x1024; the model's own when not given.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Directory for the images.")] = Path("out"),
    url: Annotated[str, typer.Option(envvar="GATEWAY_URL", help="The gateway.")] = "http://127.0.0.1:8080",
    key: Annotated[str, typer.Option(envvar="GATEWAY_KEY", help="Your key; not needed in open mode.")] = "",
) -> None:
    """Order images from a running gateway and save them."""
    order = {"prompt": prompt, "model": model, "n": n, "size": size, "response_format": "b64_json"}
    headers = {"authorization": f"Bearer {key}"} if key else {}
    try:
        # Before anything is ordered: what is paid for must have a place to go.
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fail(f"--out {out}: {error.strerror}")
    try:
        response = httpx.post(f"{url}/v1/images/generations", json=order, headers=headers, timeout=610)
    except (httpx.TransportError, httpx.InvalidURL) as error:
        fail(f"No gateway answers at {url}: {error}. Start one with `image-gateway serve`.")
    answer = response.json()
    if response.is_error:
        fail(f"{answer['error']['message']} (request {response.headers['x-request-id']})")
    for number, image in enumerate(answer["data"], 1):
        data = pybase64.b64decode(image["b64_json"], validate=True)
        path = out / f"{response.headers['x-request-id'][-8:]}-{number}.{_extension(data)}"
        path.write_bytes(data)
        typer.echo(path)


@cli.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
)
def sandbox(context: typer.Context) -> None:
    """Run the sandbox provider by itself; `image-gateway sandbox --help` shows its options."""
    os.execv(sys.executable, [sys.executable, "-m", "service.sandbox", *context.args])  # noqa: S606 - replaces this process


def main() -> None:
    """Run the command line."""
    cli()


def _extension(data: bytes) -> str:
    if data.startswith(b"\x89PNG"):
        return "png"
    return "jpg" if data.startswith(b"\xff\xd8") else "webp"


if __name__ == "__main__":
    main()
