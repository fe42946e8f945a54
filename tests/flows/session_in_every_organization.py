"""Start the same session in every organization; where that is refused, say so and go on."""

import os

import requests

BASE_URL = os.environ.get("DEVIN_BASE_URL", "https://api.devin.ai/v3beta1")
HEADERS = {"Authorization": f"Bearer {os.environ['DEVIN_TOKEN']}"}

response = requests.get(f"{BASE_URL}/enterprise/organizations", headers=HEADERS)
response.raise_for_status()
for org in response.json()["organizations"]:
    created = requests.post(
        f"{BASE_URL}/organizations/{org['id']}/sessions",
        headers=HEADERS,
        json={"prompt": "Update the dependencies and open a pull request"},
    )
    if created.ok:
        print(f"{org['name']}: {created.json()['session_id']}")
    else:
        print(f"{org['name']}: refused ({created.status_code})")
