"""List the organizations of the enterprise."""

import os

import requests

BASE_URL = os.environ.get("DEVIN_BASE_URL", "https://api.devin.ai/v3beta1")
HEADERS = {"Authorization": f"Bearer {os.environ['DEVIN_TOKEN']}"}

response = requests.get(f"{BASE_URL}/enterprise/organizations", headers=HEADERS)
response.raise_for_status()
for org in response.json()["organizations"]:
    print(f"{org['id']}: {org['name']}")
