"""A create through Devin's own SDK whose answer comes later than the SDK waits: it repeats the request by itself.

Prints the session that it got, and how many requests it took.
"""

import json
import os

import devin_sdk

sent = []
http = devin_sdk.DefaultHttpxClient(event_hooks={"request": [lambda request: sent.append(request.method)]})
client = devin_sdk.DevinSDK(http_client=http, timeout=float(os.environ["TIMEOUT"]))
created = client.organizations.sessions.create(os.environ["DEVIN_ORG_ID"], prompt="late", max_acu_limit=3)
print(json.dumps({"created": created.session_id, "requests": len(sent)}))
