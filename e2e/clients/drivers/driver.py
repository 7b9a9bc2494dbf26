"""confluent-kafka as a driver of the client matrix; doc.go of the package has the verbs."""

import json
import sys
import threading
import time

import confluent_kafka
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic, ResourceType
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

SECONDS = 30  # what any wait for the broker may take


def say(**fields):
    print(json.dumps(fields), flush=True)


def version():
    say(version=f"{confluent_kafka.__version__} (librdkafka {confluent_kafka.libversion()[0]})")


def produce(bootstrap, registry, topic, schema):
    with open(schema, encoding="utf-8") as file:
        encode = AvroSerializer(SchemaRegistryClient({"url": registry}), file.read())
    context = SerializationContext(topic, MessageField.VALUE)
    # librdkafka's own default is consistent_random, which hashes by CRC32.
    producer = Producer({"bootstrap.servers": bootstrap, "partitioner": "murmur2_random", "enable.idempotence": True})
    failed, taken = [], []
    for line in sys.stdin:
        order = json.loads(line)
        producer.produce(topic, encode(order, context), order["customer_id"].encode(),
                         on_delivery=lambda error, message: (failed if error else taken).append(str(error)))
    if producer.flush(SECONDS) or failed:
        raise SystemExit(f"not all was taken: {failed[:1]}")
    say(taken=len(taken))


def consume(bootstrap, registry, topic, partitions):
    decode = AvroDeserializer(SchemaRegistryClient({"url": registry}))
    context = SerializationContext(topic, MessageField.VALUE)
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": f"{topic}-python", "isolation.level": "read_committed",
                         "enable.auto.commit": False, "auto.offset.reset": "earliest"})
    consumer.assign([TopicPartition(topic, p, 0) for p in range(int(partitions))])
    left = int(partitions)
    while left:
        message = consumer.poll(SECONDS)
        if message is None or message.error():
            raise SystemExit(f"{left} partitions have no end yet: {message and message.error()}")
        if message.key() == b"end":
            left -= 1
            continue
        value = decode(message.value(), context)
        say(partition=message.partition(), offset=message.offset(), key=message.key().decode(),
            value={k: value[k] for k in ("trigger_id", "customer_id", "rule", "status", "episode")})
    consumer.close()


def member(bootstrap, topic, group):
    stop = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group, "isolation.level": "read_committed",
                         "enable.auto.commit": False, "auto.offset.reset": "earliest", "session.timeout.ms": 6000, "heartbeat.interval.ms": 300})
    consumer.subscribe([topic], on_assign=lambda _, parts: say(assigned=[p.partition for p in parts]), on_revoke=lambda _, parts: say(assigned=[]))
    while not stop.is_set():
        message = consumer.poll(0.1)
        if message is None:
            continue
        if message.error():
            raise SystemExit(str(message.error()))
        consumer.commit(message, asynchronous=False)
        say(partition=message.partition(), offset=message.offset(), key=message.key().decode())
    consumer.close()


def settled(look, good):
    """A broker of Apache Kafka answers before it shows what a change has made."""
    end = time.monotonic() + SECONDS
    while True:
        try:
            seen = look()
            if good(seen) or time.monotonic() > end:
                return seen
        except confluent_kafka.KafkaException as e:
            if e.args[0].code() != confluent_kafka.KafkaError.UNKNOWN_TOPIC_OR_PART or time.monotonic() > end:
                raise
        time.sleep(0.02)


def admin(bootstrap, topic):
    client = AdminClient({"bootstrap.servers": bootstrap})
    resource = ConfigResource(ResourceType.TOPIC, topic)

    def retention():
        return client.describe_configs([resource])[resource].result(SECONDS)["retention.ms"].value

    def names():
        return client.list_topics(timeout=SECONDS).topics

    client.create_topics([NewTopic(topic, 3, 1, config={"retention.ms": "3600000"})])[topic].result(SECONDS)
    listed = settled(lambda: topic in names(), bool)
    described = settled(lambda: client.describe_topics(confluent_kafka.TopicCollection([topic]))[topic].result(SECONDS), bool)
    before = settled(retention, bool)
    change = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[
        ConfigEntry("retention.ms", "7200000", incremental_operation=AlterConfigOpType.SET)])
    client.incremental_alter_configs([change])[change].result(SECONDS)
    after = settled(retention, lambda value: value != before)
    client.delete_topics([topic])[topic].result(SECONDS)
    say(partitions=len(described.partitions), retention=before, listed=listed, altered=after)


if __name__ == "__main__":
    {"version": version, "produce": produce, "consume": consume, "member": member, "admin": admin}[sys.argv[1]](*sys.argv[2:])
