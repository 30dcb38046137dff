"""Consumes messages of a topic from its start until it has as many as asked for."""

import argparse
import ctypes
import sys
import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

arguments = argparse.ArgumentParser()
arguments.add_argument("broker")
arguments.add_argument("topic")
arguments.add_argument("--messages", type=int, default=1000)
arguments.add_argument("--fetch-bytes", type=int, default=1 << 20)
arguments = arguments.parse_args()

# What a trace shows as the process, instead of the interpreter's name.
ctypes.CDLL(None).prctl(15, b"consumer", 0, 0, 0)

limits = ["message.max.bytes", "fetch.max.bytes", "max.partition.fetch.bytes"]
settings = {"bootstrap.servers": arguments.broker, "group.id": "trace", "enable.auto.commit": False}
consumer = Consumer(settings | dict.fromkeys(limits, arguments.fetch_bytes))
consumer.assign([TopicPartition(arguments.topic, 0, OFFSET_BEGINNING)])
print("consuming", flush=True)
seen = 0
give_up = time.monotonic() + 120
while seen < arguments.messages:
    if time.monotonic() > give_up:
        sys.exit(f"only {seen} messages came")
    message = consumer.poll(1)
    if message is None:
        continue
    if message.error():
        sys.exit(str(message.error()))
    seen += 1
consumer.close()
print(f"consumed {seen}", flush=True)
