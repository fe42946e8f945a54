"""One list through Devin's own SDK that is refused: prints what a user gets to see of it, as JSON.

`MAX_RETRIES` is the SDK's own setting; requests are counted where the SDK hands them to HTTP.
"""

import json
import os
import time

import devin_sdk

sent = []
http = devin_sdk.DefaultHttpxClient(event_hooks={"request": [lambda request: sent.append(request.method)]})
more = {"max_retries": int(os.environ["MAX_RETRIES"])} if "MAX_RETRIES" in os.environ else {}
client = devin_sdk.DevinSDK(http_client=http, **more)

report = {"error": None}
started = time.monotonic()
try:
    for _ in range(int(os.environ.get("CALLS", "1"))):
        sent.clear()
        started = time.monotonic()
        client.organizations.sessions.list(os.environ["DEVIN_ORG_ID"])
except devin_sdk.APIStatusError as error:
    report = {
        "error": type(error).__name__,
        "status": error.status_code,
        "body": error.body,
        "headers": dict(error.response.headers),
    }
report["requests"] = len(sent)
report["seconds"] = time.monotonic() - started
print(json.dumps(report))
