"""Makes a topic of one partition."""

import sys

from confluent_kafka.admin import AdminClient, NewTopic

broker, topic = sys.argv[1:]
admin = AdminClient({"bootstrap.servers": broker})
for made in admin.create_topics([NewTopic(topic, 1, 1)]).values():
    made.result(30)
