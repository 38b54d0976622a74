"""Use the pages as a person does, in a real Chromium before real gateways."""
