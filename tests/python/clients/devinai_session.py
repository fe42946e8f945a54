"""What a user of Devin's own SDK does with a session. Base URL and key come from the environment,
where the SDK itself looks for them; this file names neither, and prints one JSON object.

The two versions differ in how a message is sent: `messages.send` (0.1.0), `messages.create` (0.0.3).
"""

import json
import os

from devin_sdk import DevinSDK, __version__

organization = os.environ["DEVIN_ORG_ID"]
client = DevinSDK()
sessions = client.organizations.sessions

created = sessions.create(organization, prompt="SDK から始めたセッション", tags=["sdk", "テスト"], max_acu_limit=3)
listed = sessions.list(organization, tags=["sdk", "テスト"], first=200)
read = sessions.retrieve(created.session_id, org_id=organization)
say = sessions.messages.send if hasattr(sessions.messages, "send") else sessions.messages.create
told = say(created.session_id, org_id=organization, message="続けてください")
messages = sessions.messages.list(created.session_id, org_id=organization)

print(
    json.dumps(
        {
            "version": __version__,
            "created": created.session_id,
            "url": created.url,
            "tags": created.tags,
            "listed": [session.session_id for session in listed.items],
            "read": read.session_id,
            "read_status": read.status,
            "told": told.session_id,
            "messages": [message.message for message in messages.items],
        }
    )
)
