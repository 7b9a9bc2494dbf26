"""An upstream and a downstream of Tidemark in Python, by confluent-kafka.

    events.py produce --bootstrap HOST:PORT --topic T [--registry URL --schema FILE]
        reads JSON Lines from stdin and produces each as one record, keyed by its
        customer_id; in Confluent's Avro format with --registry, else as JSON.
        Prints how many the broker has taken.
    events.py consume --bootstrap HOST:PORT --topic T [--registry URL]
        prints the committed records of T, to the end, as JSON Lines: partition, offset, key,
        headers, value (decoded with --registry, else as text).

Exit code 0, or 1 with the reason on stderr.
"""

import argparse
import json
import sys
import uuid

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

SECONDS = 60  # what any wait for the broker may take


def produce(args):
    if args.registry:
        with open(args.schema, encoding="utf-8") as file:
            schema = file.read()
        avro = AvroSerializer(SchemaRegistryClient({"url": args.registry}), schema)
        context = SerializationContext(args.topic, MessageField.VALUE)
        encode = lambda event: avro(event, context)
    else:
        encode = lambda event: json.dumps(event, ensure_ascii=False).encode()

    # librdkafka's own default, consistent_random, sends a customer elsewhere than the Java
    # client does; Tidemark's contract asks for murmur2.
    producer = Producer({
        "bootstrap.servers": args.bootstrap,
        "partitioner": "murmur2_random",
        "enable.idempotence": True,
        "message.timeout.ms": SECONDS * 1000,
    })
    taken, failures = 0, []

    def report(error, message):
        nonlocal taken
        if error:
            failures.append(str(error))
        else:
            taken += 1

    for line in sys.stdin:
        event = json.loads(line)
        while True:
            try:
                producer.produce(args.topic, encode(event), event["customer_id"].encode(), on_delivery=report)
                break
            except BufferError:  # the local queue is full: let some of it be answered
                producer.poll(0.1)
        producer.poll(0)
    waiting = producer.flush(SECONDS)
    if failures or waiting:
        raise SystemExit(f"{len(failures)} records failed ({failures[:1]}), {waiting} were not answered")
    print(taken)


def consume(args):
    avro = AvroDeserializer(SchemaRegistryClient({"url": args.registry})) if args.registry else None
    consumer = Consumer({
        "bootstrap.servers": args.bootstrap,
        "group.id": f"events-py-{uuid.uuid4()}",
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "enable.partition.eof": True,  # the end of a log may hold no record: it must be told
    })
    try:
        known = consumer.list_topics(args.topic, SECONDS).topics[args.topic]
        if known.error:
            raise SystemExit(str(known.error))
        consumer.assign([TopicPartition(args.topic, p, 0) for p in known.partitions])
        open_partitions = set(known.partitions)
        while open_partitions:
            message = consumer.poll(SECONDS)
            if message is None:
                raise SystemExit(f"no answer; not at the end of partitions {sorted(open_partitions)}")
            if message.error():
                if message.error().code() != KafkaError._PARTITION_EOF:
                    raise SystemExit(str(message.error()))
                open_partitions.discard(message.partition())
                continue
            value = message.value()
            if avro:
                value = avro(value, SerializationContext(args.topic, MessageField.VALUE))
            elif value is not None:
                value = value.decode("utf-8", "replace")
            print(json.dumps({
                "partition": message.partition(),
                "offset": message.offset(),
                "key": None if message.key() is None else message.key().decode("utf-8", "replace"),
                "headers": [[k, v.decode("utf-8", "replace")] for k, v in message.headers() or []],
                "value": value,
            }, ensure_ascii=False, default=str))
    finally:
        consumer.close()


def main():
    parser = argparse.ArgumentParser()
    verbs = parser.add_subparsers(required=True)
    for verb in (produce, consume):
        sub = verbs.add_parser(verb.__name__)
        sub.set_defaults(run=verb)
        sub.add_argument("--bootstrap", required=True)
        sub.add_argument("--topic", required=True)
        sub.add_argument("--registry")
        if verb is produce:
            sub.add_argument("--schema", help="the .avsc file of the values; needed with --registry")
    args = parser.parse_args()
    if getattr(args, "schema", None) is None and args.run is produce and args.registry:
        parser.error("--registry needs --schema")
    args.run(args)


if __name__ == "__main__":
    main()
