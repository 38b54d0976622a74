"""Image Gateway: one service that speaks the OpenAI Images API for a whole company."""
