"""Start a Devin session in one organization."""

import os

import requests

BASE_URL = os.environ.get("DEVIN_BASE_URL", "https://api.devin.ai/v3beta1")
HEADERS = {"Authorization": f"Bearer {os.environ['DEVIN_TOKEN']}"}
ORG_ID = os.environ["DEVIN_ORG_ID"]

response = requests.post(
    f"{BASE_URL}/organizations/{ORG_ID}/sessions",
    headers=HEADERS,
    json={"prompt": "README.md の誤字を直してください"},
)
response.raise_for_status()
session = response.json()
print(f"session: {session['session_id']}")
print(f"url: {session['url']}")
