"""Read the audit log of the last 30 days, page by page."""

import os
import time

import requests

BASE_URL = os.environ.get("DEVIN_BASE_URL", "https://api.devin.ai/v3beta1")
HEADERS = {"Authorization": f"Bearer {os.environ['DEVIN_TOKEN']}"}

now = int(time.time())
params = {"time_after": now - 30 * 24 * 60 * 60, "time_before": now, "first": 100}
pages = 0
entries = 0
while True:
    response = requests.get(f"{BASE_URL}/enterprise/audit-logs", headers=HEADERS, params=params)
    response.raise_for_status()
    page = response.json()
    pages += 1
    for entry in page["items"]:
        entries += 1
        who = entry.get("service_user_id") or entry.get("user_id")
        print(f"{entry['created_at']} {entry['action']} org={entry.get('org_id')} by={who}")
    if not page["has_next_page"]:
        break
    params["after"] = page["end_cursor"]

print(f"{entries} entries on {pages} pages")
