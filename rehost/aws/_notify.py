"""Messages to SNS topics."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rehost.aws._errors import translated
from rehost.aws._session import Session


class Notify:
    def __init__(self, session: Session) -> None:
        self._session = session

    def publish(self, topic: str, message: Mapping[str, Any]) -> str:
        """Publish to a topic, in its own region; returns SNS's message id. Raises AwsError; a retry sends it again.

        Event, version and id are message attributes as well, so that a subscription can filter by them. A FIFO topic
        drops what has an id it knows by itself.
        """
        client = self._session.client("sns", region=topic.split(":")[3])
        attributes = {"event": message["event"], "version": str(message["version"]), "id": message["id"]}
        fifo = {"MessageGroupId": message["job"], "MessageDeduplicationId": message["id"]}
        with translated(client.meta.endpoint_url):
            answer = client.publish(
                TopicArn=topic,
                Message=json.dumps(message),
                Subject=f"rehost: {message['server']} {message['event']}"[:100],
                MessageAttributes={
                    name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
                },
                **(fifo if topic.endswith(".fifo") else {}),
            )
        return str(answer["MessageId"])
