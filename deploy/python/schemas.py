"""What confluent-kafka's serializers do with a schema registry, step by step.

    schemas.py --bootstrap HOST:PORT --registry URL --topic T --references T2
        prints one JSON object for each step: {"step", and what came of it}.

Exit code 0, or 1 with the reason on stderr.
"""

import argparse
import json

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.schema_registry import Schema, SchemaReference, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.error import SchemaRegistryError
from confluent_kafka.serialization import MessageField, SerializationContext

SECONDS = 30


def record(*fields):
    return json.dumps({"type": "record", "name": "Sale", "namespace": "shop", "fields": list(fields)})


ID = {"name": "id", "type": "string"}
FIRST = record(ID)
EVOLVED = record(ID, {"name": "shop", "type": "string", "default": "web"})
REFUSED = record(ID, {"name": "shop", "type": "string", "default": "web"}, {"name": "till", "type": "int"})
CUSTOMER = json.dumps({"type": "record", "name": "Customer", "namespace": "shop", "fields": [ID]})
REFERRING = record(ID, {"name": "customer", "type": "shop.Customer"})


def step(name, **result):
    print(json.dumps({"step": name, **result}, sort_keys=True))


def refusal(call):
    try:
        call()
    except SchemaRegistryError as e:
        return {"status": e.http_status_code, "code": e.error_code, "message": e.error_message}
    return {"status": 200}


class Topic:
    def __init__(self, args, name):
        self.args, self.name = args, name
        self.context = SerializationContext(name, MessageField.VALUE)
        self.registry = SchemaRegistryClient({"url": args.registry})  # its caches are its own

    def send(self, schema, value, **options):
        encode = AvroSerializer(self.registry, schema, conf=options)
        encoded = encode(value, self.context)
        producer = Producer({"bootstrap.servers": self.args.bootstrap, "enable.idempotence": True})
        failed = []
        producer.produce(self.name, encoded, on_delivery=lambda error, _: error and failed.append(str(error)))
        if producer.flush(SECONDS) or failed:
            raise SystemExit(f"not taken: {failed}")
        return int.from_bytes(encoded[1:5], "big")

    def read(self, n, schema=None):
        decode = AvroDeserializer(SchemaRegistryClient({"url": self.args.registry}), schema)
        consumer = Consumer({"bootstrap.servers": self.args.bootstrap, "group.id": "schemas-py", "enable.auto.commit": False})
        consumer.assign([TopicPartition(self.name, 0, 0)])
        values = []
        while len(values) < n:
            message = consumer.poll(SECONDS)
            if message is None or message.error():
                raise SystemExit(f"{len(values)} of {n}: {message and message.error()}")
            values.append(decode(message.value(), self.context))
        consumer.close()
        return values


def main():
    parser = argparse.ArgumentParser()
    for name in ("bootstrap", "registry", "topic", "references"):
        parser.add_argument("--" + name, required=True)
    args = parser.parse_args()
    topic, client = Topic(args, args.topic), SchemaRegistryClient({"url": args.registry})
    subject = args.topic + "-value"

    first = topic.send(FIRST, {"id": "a"})
    step("register", again=topic.send(FIRST, {"id": "b"}) == first, versions=client.get_versions(subject))
    evolved = topic.send(EVOLVED, {"id": "c", "shop": "till 4"})
    step("evolve", other=evolved != first, versions=client.get_versions(subject))
    step("read old and new by the new schema", values=topic.read(3, EVOLVED))
    step("refuse", **refusal(lambda: topic.send(REFUSED, {"id": "d", "shop": "", "till": 1})), versions=client.get_versions(subject))
    step("test compatibility", evolved=client.test_compatibility(subject, Schema(EVOLVED, "AVRO")),
         refused=client.test_compatibility(subject, Schema(REFUSED, "AVRO")))
    client.set_compatibility(subject, "NONE")
    step("level NONE", third=topic.send(REFUSED, {"id": "d", "shop": "", "till": 1}) not in (first, evolved), versions=client.get_versions(subject))
    step("soft delete", deleted=client.delete_version(subject, 3), versions=client.get_versions(subject),
         read=[v.get("till") for v in topic.read(4)])
    step("hard delete without soft", **refusal(lambda: client.delete_version(subject, 2, permanent=True)))
    step("hard delete", deleted=client.delete_version(subject, 3, permanent=True))
    step("delete the subject", deleted=client.delete_subject(subject), gone=refusal(lambda: SchemaRegistryClient({"url": args.registry}).get_versions(subject)))
    step("come back", same=topic_anew(args).send(FIRST, {"id": "e"}) == first)

    customers = args.references + "-customer"
    client.register_schema(customers, Schema(CUSTOMER, "AVRO"))
    referring = Topic(args, args.references)
    referring.send(Schema(REFERRING, "AVRO", [SchemaReference("shop.Customer", customers, 1)]), {"id": "a", "customer": {"id": "c1"}})
    step("references", values=referring.read(1))
    step("delete what is referred to", **{k: v for k, v in refusal(lambda: client.delete_version(customers, 1)).items() if k != "message"})


def topic_anew(args):
    return Topic(args, args.topic)


if __name__ == "__main__":
    main()
