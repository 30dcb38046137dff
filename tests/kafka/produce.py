"""Produces messages to a topic at a steady pace, and waits for each to be acknowledged."""

import argparse
import ctypes
import sys
import time

from confluent_kafka import Producer

arguments = argparse.ArgumentParser()
arguments.add_argument("broker")
arguments.add_argument("topic")
arguments.add_argument("--messages", type=int, default=1000)
arguments.add_argument("--pause-ms", type=float, default=5)
arguments.add_argument("--size", type=int, default=200)
arguments = arguments.parse_args()

# What a trace shows as the process, instead of the interpreter's name.
ctypes.CDLL(None).prctl(15, b"producer", 0, 0, 0)

failed = []
producer = Producer({"bootstrap.servers": arguments.broker, "linger.ms": 0, "message.timeout.ms": 60000})
for number in range(arguments.messages):
    value = str(number).rjust(arguments.size)
    producer.produce(arguments.topic, value, on_delivery=lambda error, _: error and failed.append(error))
    if producer.flush(60):
        sys.exit("a message was not acknowledged in a minute")
    time.sleep(arguments.pause_ms / 1000)
if failed:
    sys.exit(f"{len(failed)} messages failed, the first one: {failed[0]}")
print(f"produced {arguments.messages}", flush=True)
