"""Write a refusal in the shapes of servers that imitate OpenAI.

Owns the shapes. Does not choose one (`faults.behaviour`).
"""

from typing import Literal

from service.sandbox.wire.error_envelope import Refusal

ErrorShape = Literal["openai", "text", "detail", "detail_list", "integer_code", "flat", "empty"]


def to_shape(refusal: Refusal, shape: ErrorShape) -> tuple[int, object]:
    """Return status and JSON body; the body of `empty` is None.

    `text` is that of stable-diffusion.cpp, `integer_code` LocalAI's, `flat` that of vLLM. `detail` and `detail_list` are
    FastAPI's for an exception and for bad parameters, which are a 422.
    """
    status, message = refusal.status, refusal.message
    fault = {"type": "value_error", "loc": ["body", refusal.param or "prompt"], "msg": message}
    bodies: dict[ErrorShape, object] = {
        "openai": refusal.to_envelope(),
        "text": {"error": message},
        "detail": {"detail": message},
        "detail_list": {"detail": [fault]},
        "integer_code": {"error": {"code": status, "message": message, "type": ""}},
        "flat": {"object": "error", "message": message, "type": "Error", "param": None, "code": status},
        "empty": None,
    }
    return 422 if shape == "detail_list" and status == 400 else status, bodies[shape]
