"""Which service user does this token belong to?"""

import os

import requests

BASE_URL = os.environ.get("DEVIN_BASE_URL", "https://api.devin.ai/v3beta1")
HEADERS = {"Authorization": f"Bearer {os.environ['DEVIN_TOKEN']}"}

response = requests.get(f"{BASE_URL}/enterprise/self", headers=HEADERS)
response.raise_for_status()
me = response.json()
print(f"name: {me['name']}")
print(f"role: {me['role']}")
