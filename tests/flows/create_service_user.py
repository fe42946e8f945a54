"""Create a service user for CI. Its key is shown once, in this answer, and never again."""

import os

import requests

BASE_URL = os.environ.get("DEVIN_BASE_URL", "https://api.devin.ai/v3beta1")
HEADERS = {"Authorization": f"Bearer {os.environ['DEVIN_TOKEN']}"}
ORG_ID = os.environ["DEVIN_ORG_ID"]

response = requests.post(
    f"{BASE_URL}/organizations/{ORG_ID}/members/service-users",
    headers=HEADERS,
    json={"name": "CI/CD Bot", "role": "developer"},
)
response.raise_for_status()
service_user = response.json()
print(f"id: {service_user['id']}")
print(f"api_key: {service_user['api_key']}")
