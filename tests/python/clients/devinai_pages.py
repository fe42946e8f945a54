"""What a user of Devin's own SDK does to see all of its sessions. Base URL and key come from the environment,
where the SDK itself looks for them; this file names neither, and prints one JSON object.
"""

import json
import os

from devin_sdk import DevinSDK

organization = os.environ["DEVIN_ORG_ID"]
sessions = DevinSDK().organizations.sessions
created = [
    sessions.create(organization, prompt=f"number {number}", max_acu_limit=5).session_id
    for number in range(int(os.environ["COUNT"]))
]
listed, totals, more = [], [], {}
while True:
    page = sessions.list(organization, first=int(os.environ["SIZE"]), **more)
    listed += [session.session_id for session in page.items]
    totals.append(page.total)
    # Like the pagers of other SDKs of this make: an empty page is the end.
    if not page.items or not page.has_next_page:
        break
    more = {"after": page.end_cursor}

print(json.dumps({"created": created, "listed": listed, "totals": totals}))
