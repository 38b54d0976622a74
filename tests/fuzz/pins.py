"""The version of schemathesis, in an environment of its own."""

from tests.compatibility.pins import Pin

FUZZER = Pin(name="fuzzer", version="4.32.5", script="", packages=("schemathesis==4.32.5",))
