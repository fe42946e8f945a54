"""Create an organization with an ACU limit of its own."""

import os

import requests

BASE_URL = os.environ.get("DEVIN_BASE_URL", "https://api.devin.ai/v3beta1")
HEADERS = {"Authorization": f"Bearer {os.environ['DEVIN_TOKEN']}"}

response = requests.post(
    f"{BASE_URL}/enterprise/organizations",
    headers=HEADERS,
    json={"name": "開発チーム東京", "acu_limit": 1000},
)
response.raise_for_status()
print(f"created: {response.json()['id']}")
