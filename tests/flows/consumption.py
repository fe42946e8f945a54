"""How many ACUs did each organization use in January 2024?"""

import os

import requests

BASE_URL = os.environ.get("DEVIN_BASE_URL", "https://api.devin.ai/v3beta1")
HEADERS = {"Authorization": f"Bearer {os.environ['DEVIN_TOKEN']}"}

response = requests.get(
    f"{BASE_URL}/enterprise/consumption/daily/organizations",
    headers=HEADERS,
    params={"start_date": "2024-01-01", "end_date": "2024-01-31"},
)
response.raise_for_status()
for row in response.json()["data"]:
    print(f"{row['organization_name']}: {row['acus_used']} ACUs")
