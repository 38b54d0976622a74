"""Tell SDKs if and when to retry, in the headers they read."""

import math

NO_RETRY = {"x-should-retry": "false"}


def retry_headers(seconds: float) -> dict[str, str]:
    """Return both retry headers: 1 to 60 whole seconds, and milliseconds.

    SDKs ignore delays above 60 s.
    """
    seconds = min(max(seconds, 0.001), 60.0)
    return {
        "retry-after": str(max(1, math.ceil(seconds))),
        "retry-after-ms": str(math.ceil(seconds * 1000)),
    }


def duration_text(seconds: float) -> str:
    """Return *seconds* as OpenAI writes durations: `120ms`, `1.2s`."""
    milliseconds = math.ceil(seconds * 1000)
    return f"{milliseconds}ms" if milliseconds < 1000 else f"{milliseconds / 1000:g}s"
