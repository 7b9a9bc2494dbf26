import java.io.ByteArrayOutputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.EncoderFactory;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Publishes one order and waits for the trigger that follows from it.
 *
 * <pre>
 *   mvn -f examples/snippets/java dependency:copy-dependencies
 *   tidemark dev                                        (in another terminal)
 *   java -cp "examples/snippets/java/target/dependency/*" examples/snippets/java/OrderAndTrigger.java
 * </pre>
 *
 * It needs nothing but Kafka's client and Avro. With Confluent's
 * kafka-avro-serializer on the class path, Registry is not needed: name
 * KafkaAvroSerializer and KafkaAvroDeserializer instead of the byte array ones.
 */
public final class OrderAndTrigger {
    static String env(String name, String or) {
        String value = System.getenv(name);
        return value == null || value.isEmpty() ? or : value;
    }

    public static void main(String[] args) throws Exception {
        String kafka = env("KAFKA", "127.0.0.1:9092");
        String orders = env("ORDERS", "order-events");
        String triggers = env("TRIGGERS", "churn-warnings");
        var registry = new Registry(env("REGISTRY", "http://127.0.0.1:8081"));
        Schema schema = new Schema.Parser().parse(Files.readString(Path.of(env("SCHEMA", "schemas/avro/order_event.avsc"))));

        // An order of two hours ago: the playbook of `tidemark dev` warns after one hour of silence.
        String customer = "java-" + UUID.randomUUID();
        var order = new GenericData.Record(schema);
        order.put("event_id", UUID.randomUUID().toString());
        order.put("customer_id", customer);
        order.put("order_id", "order-1");
        order.put("type", new GenericData.EnumSymbol(schema.getField("type").schema(), "PAID"));
        order.put("occurred_at", Instant.now().minus(Duration.ofHours(2)).toEpochMilli());
        order.put("amount_minor", 12000L);
        order.put("currency", "USD");
        order.put("channel", "web");
        order.put("items", List.of());
        order.put("attributes", Map.of());

        // acks=all, idempotence and murmur2 are the producer's defaults.
        Map<String, Object> producing = Map.of("bootstrap.servers", kafka);
        try (var producer = new KafkaProducer<>(producing, new StringSerializer(), new ByteArraySerializer())) {
            producer.send(new ProducerRecord<>(orders, customer, registry.encode(orders + "-value", order))).get();
        }

        Map<String, Object> consuming = Map.of(
                "bootstrap.servers", kafka,
                "group.id", "snippet-" + UUID.randomUUID(), // yours is one that stays
                "isolation.level", "read_committed", // what is not committed is not true
                "auto.offset.reset", "earliest",
                "enable.auto.commit", "false");
        try (var consumer = new KafkaConsumer<>(consuming, new StringDeserializer(), new ByteArrayDeserializer())) {
            consumer.subscribe(List.of(triggers));
            for (Instant end = Instant.now().plusSeconds(60); Instant.now().isBefore(end); ) {
                for (ConsumerRecord<String, byte[]> record : consumer.poll(Duration.ofSeconds(1))) {
                    GenericRecord t = registry.decode(record.value());
                    if (t.get("customer_id").toString().equals(customer)) {
                        System.out.printf("%s %s %s %s %s%n", record.topic(), customer, t.get("rule"), t.get("status"), t.get("trigger_id"));
                        consumer.commitSync(); // after you have acted on it
                        return;
                    }
                }
            }
        }
        throw new IllegalStateException("no trigger within a minute");
    }

    /** The Confluent wire format: a zero byte, the schema's id, Avro. */
    static final class Registry {
        private final ObjectMapper json = new ObjectMapper();
        private final HttpClient http = HttpClient.newHttpClient();
        private final Map<String, Integer> ids = new HashMap<>();
        private final Map<Integer, Schema> schemas = new HashMap<>();
        private final String url;

        Registry(String url) {
            this.url = url;
        }

        byte[] encode(String subject, GenericRecord value) throws IOException, InterruptedException {
            if (!ids.containsKey(subject)) {
                String body = json.writeValueAsString(Map.of("schema", value.getSchema().toString()));
                ids.put(subject, ask(HttpRequest.newBuilder(URI.create(url + "/subjects/" + subject + "/versions"))
                        .header("Content-Type", "application/vnd.schemaregistry.v1+json")
                        .POST(HttpRequest.BodyPublishers.ofString(body))).get("id").asInt());
            }
            var bytes = new ByteArrayOutputStream();
            var out = new DataOutputStream(bytes);
            out.writeByte(0);
            out.writeInt(ids.get(subject));
            BinaryEncoder avro = EncoderFactory.get().directBinaryEncoder(out, null);
            new GenericDatumWriter<GenericRecord>(value.getSchema()).write(value, avro);
            return bytes.toByteArray();
        }

        GenericRecord decode(byte[] value) throws IOException, InterruptedException {
            ByteBuffer in = ByteBuffer.wrap(value);
            if (in.get() != 0) {
                throw new IOException("not in the Confluent wire format");
            }
            int id = in.getInt();
            if (!schemas.containsKey(id)) {
                String text = ask(HttpRequest.newBuilder(URI.create(url + "/schemas/ids/" + id))).get("schema").asText();
                schemas.put(id, new Schema.Parser().parse(text));
            }
            var avro = DecoderFactory.get().binaryDecoder(value, in.position(), in.remaining(), null);
            return new GenericDatumReader<GenericRecord>(schemas.get(id)).read(null, avro);
        }

        private JsonNode ask(HttpRequest.Builder request) throws IOException, InterruptedException {
            HttpResponse<String> answer = http.send(request.build(), HttpResponse.BodyHandlers.ofString());
            if (answer.statusCode() != 200) {
                throw new IOException("registry: " + answer.statusCode() + " " + answer.body());
            }
            return json.readTree(answer.body());
        }
    }
}
