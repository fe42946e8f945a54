"""What a user of Devin's own SDK does to see all organizations. Base URL and key come from the environment,
where the SDK itself looks for them; this file names neither, and prints one JSON object.
"""

import json
import os

from devin_sdk import DevinSDK

client = DevinSDK()
organizations, totals, more = [], [], {}
while True:
    page = client.enterprise.organizations.list(first=int(os.environ["SIZE"]), **more)
    organizations += [organization.org_id for organization in page.items]
    totals.append(page.total)
    # Like the pagers of other SDKs of this make: an empty page is the end.
    if not page.items or not page.has_next_page:
        break
    more = {"after": page.end_cursor}

print(json.dumps({"organizations": organizations, "totals": totals}))
