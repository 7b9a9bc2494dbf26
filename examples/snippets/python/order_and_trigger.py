"""Publishes one order and waits for the trigger that follows from it.

    pip install "confluent-kafka[avro,schemaregistry]"
    tidemark dev                                          # in another terminal
    python order_and_trigger.py
"""

import os
import time
import uuid
from pathlib import Path

from confluent_kafka import Consumer, Producer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

KAFKA = os.getenv("KAFKA", "127.0.0.1:9092")
REGISTRY = os.getenv("REGISTRY", "http://127.0.0.1:8081")
ORDERS = os.getenv("ORDERS", "order-events")
TRIGGERS = os.getenv("TRIGGERS", "churn-warnings")
SCHEMA = Path(__file__).parents[3] / "schemas" / "avro" / "order_event.avsc"

registry = SchemaRegistryClient({"url": REGISTRY})

# An order of two hours ago: the playbook of `tidemark dev` warns after one hour of silence.
customer = f"python-{uuid.uuid4()}"
order = {
    "event_id": str(uuid.uuid4()), "customer_id": customer, "order_id": "order-1", "type": "PAID",
    "occurred_at": int(time.time() * 1000) - 2 * 3600 * 1000, "amount_minor": 12000, "currency": "USD",
    "channel": "web", "items": [], "attributes": {},
}
encode = AvroSerializer(registry, SCHEMA.read_text())
producer = Producer({
    "bootstrap.servers": KAFKA,
    "partitioner": "murmur2_random",  # librdkafka's own default puts customers elsewhere
    "enable.idempotence": True,
})
producer.produce(ORDERS, encode(order, SerializationContext(ORDERS, MessageField.VALUE)), key=customer)
if producer.flush(30):
    raise SystemExit("the order was not taken")

consumer = Consumer({
    "bootstrap.servers": KAFKA,
    "group.id": f"snippet-{uuid.uuid4()}",  # yours is one that stays
    "isolation.level": "read_committed",  # what is not committed is not true
    "auto.offset.reset": "earliest",
    "enable.auto.commit": False,
})
consumer.subscribe([TRIGGERS])
decode = AvroDeserializer(registry)
deadline = time.time() + 60
while time.time() < deadline:
    message = consumer.poll(1)
    if message is None:
        continue
    if message.error():
        raise SystemExit(message.error())
    trigger = decode(message.value(), SerializationContext(TRIGGERS, MessageField.VALUE))
    if trigger["customer_id"] == customer:
        print(message.topic(), trigger["customer_id"], trigger["rule"], trigger["status"], trigger["trigger_id"])
        consumer.commit(message, asynchronous=False)  # after you have acted on it
        consumer.close()
        break
else:
    raise SystemExit("no trigger within a minute")
