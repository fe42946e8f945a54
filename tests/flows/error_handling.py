"""What a script does when Devin says no."""

import os
import sys

import requests

BASE_URL = os.environ.get("DEVIN_BASE_URL", "https://api.devin.ai/v3beta1")
HEADERS = {"Authorization": f"Bearer {os.environ['DEVIN_TOKEN']}"}

try:
    response = requests.get(f"{BASE_URL}/enterprise/organizations", headers=HEADERS)
    response.raise_for_status()
except requests.exceptions.HTTPError as error:
    status = error.response.status_code
    if status == 401:
        print("401: the token is wrong or has expired")
    elif status == 403:
        print("403: this service user does not have the right")
    elif status == 429:
        print("429: too many requests, slow down")
    else:
        print(f"{status}: {error}")
    sys.exit(1)

print(f"{len(response.json()['organizations'])} organizations")
