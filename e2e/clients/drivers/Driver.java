import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.function.Predicate;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.EncoderFactory;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.common.utils.AppInfoParser;

/** Kafka's own Java client as a driver of the client matrix; doc.go of the package has the verbs. */
public final class Driver {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final HttpClient HTTP = HttpClient.newHttpClient();

    public static void main(String[] a) throws Exception {
        switch (a[0]) {
            case "version" -> say(Map.of("version", AppInfoParser.getVersion()));
            case "produce" -> produce(a[1], a[2], a[3], a[4]);
            case "consume" -> consume(a[1], a[2], a[3], Integer.parseInt(a[4]));
            case "member" -> member(a[1], a[2], a[3]);
            case "admin" -> admin(a[1], a[2]);
            default -> throw new IllegalArgumentException(a[0]);
        }
    }

    private static synchronized void say(Map<String, ?> fields) throws Exception {
        System.out.println(JSON.writeValueAsString(fields));
    }

    private static JsonNode ask(HttpRequest.Builder request) throws Exception {
        HttpResponse<String> answer = HTTP.send(request.build(), HttpResponse.BodyHandlers.ofString());
        if (answer.statusCode() != 200) {
            throw new IllegalStateException(answer.statusCode() + " " + answer.body());
        }
        return JSON.readTree(answer.body());
    }

    private static void produce(String bootstrap, String registry, String topic, String schemaFile) throws Exception {
        Schema schema = new Schema.Parser().parse(Files.readString(Path.of(schemaFile)));
        int id = ask(HttpRequest.newBuilder(URI.create(registry + "/subjects/" + topic + "-value/versions"))
                .header("Content-Type", "application/vnd.schemaregistry.v1+json")
                .POST(HttpRequest.BodyPublishers.ofString(JSON.writeValueAsString(Map.of("schema", schema.toString()))))).get("id").asInt();
        // The default partitioner is murmur2, and acks=all with idempotence the default of the producer.
        Map<String, Object> config = Map.of("bootstrap.servers", bootstrap);
        List<Future<?>> sent = new ArrayList<>();
        try (var producer = new KafkaProducer<>(config, new StringSerializer(), new ByteArraySerializer())) {
            var in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
            for (String line; (line = in.readLine()) != null; ) {
                GenericRecord order = new GenericDatumReader<GenericRecord>(schema).read(null, DecoderFactory.get().jsonDecoder(schema, line));
                var bytes = new ByteArrayOutputStream();
                bytes.write(ByteBuffer.allocate(5).put((byte) 0).putInt(id).array());
                BinaryEncoder out = EncoderFactory.get().binaryEncoder(bytes, null);
                new GenericDatumWriter<GenericRecord>(schema).write(order, out);
                out.flush();
                sent.add(producer.send(new ProducerRecord<>(topic, order.get("customer_id").toString(), bytes.toByteArray())));
            }
            for (Future<?> f : sent) {
                f.get();
            }
        }
        say(Map.of("taken", sent.size()));
    }

    private static Map<String, Object> consumerConfig(String bootstrap, String group) {
        Map<String, Object> config = new HashMap<>();
        config.put("bootstrap.servers", bootstrap);
        config.put("group.id", group);
        config.put("isolation.level", "read_committed");
        config.put("enable.auto.commit", "false");
        config.put("auto.offset.reset", "earliest");
        config.put("session.timeout.ms", "6000");
        config.put("heartbeat.interval.ms", "300");
        return config;
    }

    private static void consume(String bootstrap, String registry, String topic, int partitions) throws Exception {
        Map<Integer, Schema> schemas = new HashMap<>();
        try (var consumer = new KafkaConsumer<>(consumerConfig(bootstrap, topic + "-java"), new StringDeserializer(), new ByteArrayDeserializer())) {
            List<TopicPartition> all = new ArrayList<>();
            for (int p = 0; p < partitions; p++) {
                all.add(new TopicPartition(topic, p));
            }
            consumer.assign(all);
            consumer.seekToBeginning(all);
            for (int left = partitions; left > 0; ) {
                for (ConsumerRecord<String, byte[]> r : consumer.poll(Duration.ofSeconds(1))) {
                    if (r.key().equals("end")) {
                        left--;
                        continue;
                    }
                    ByteBuffer value = ByteBuffer.wrap(r.value());
                    if (value.get() != 0) {
                        throw new IllegalStateException("not in the wire format");
                    }
                    int id = value.getInt();
                    if (!schemas.containsKey(id)) {
                        String text = ask(HttpRequest.newBuilder(URI.create(registry + "/schemas/ids/" + id))).get("schema").asText();
                        schemas.put(id, new Schema.Parser().parse(text));
                    }
                    var t = new GenericDatumReader<GenericRecord>(schemas.get(id))
                            .read(null, DecoderFactory.get().binaryDecoder(r.value(), 5, r.value().length - 5, null));
                    say(Map.of("partition", r.partition(), "offset", r.offset(), "key", r.key(), "value", Map.of(
                            "trigger_id", t.get("trigger_id").toString(), "customer_id", t.get("customer_id").toString(),
                            "rule", t.get("rule").toString(), "status", t.get("status").toString(), "episode", t.get("episode"))));
                }
            }
        }
    }

    private static void member(String bootstrap, String topic, String group) throws Exception {
        var stop = new java.util.concurrent.atomic.AtomicBoolean();
        Thread reader = new Thread(() -> {
            try {
                while (System.in.read() >= 0) {
                    // until it is closed
                }
            } catch (Exception e) {
                // closed as well
            }
            stop.set(true);
        });
        reader.setDaemon(true);
        reader.start();
        try (var consumer = new KafkaConsumer<>(consumerConfig(bootstrap, group), new StringDeserializer(), new StringDeserializer())) {
            TreeSet<Integer> mine = new TreeSet<>();
            consumer.subscribe(List.of(topic), new ConsumerRebalanceListener() {
                public void onPartitionsAssigned(Collection<TopicPartition> parts) {
                    parts.forEach(p -> mine.add(p.partition()));
                    tell();
                }

                public void onPartitionsRevoked(Collection<TopicPartition> parts) {
                    parts.forEach(p -> mine.remove(p.partition()));
                    tell();
                }

                private void tell() {
                    try {
                        say(Map.of("assigned", mine));
                    } catch (Exception e) {
                        throw new IllegalStateException(e);
                    }
                }
            });
            while (!stop.get()) {
                for (ConsumerRecord<String, String> r : consumer.poll(Duration.ofMillis(100))) {
                    consumer.commitSync(Map.of(new TopicPartition(topic, r.partition()), new OffsetAndMetadata(r.offset() + 1)));
                    say(Map.of("partition", r.partition(), "offset", r.offset(), "key", r.key()));
                }
            }
        }
    }

    /** A broker of Apache Kafka answers before it shows what a change has made. */
    private static <T> T settled(Callable<T> look, Predicate<T> good) throws Exception {
        for (long end = System.currentTimeMillis() + 30_000; ; Thread.sleep(20)) {
            boolean last = System.currentTimeMillis() > end;
            try {
                T seen = look.call();
                if (good.test(seen) || last) {
                    return seen;
                }
            } catch (ExecutionException e) {
                if (!(e.getCause() instanceof UnknownTopicOrPartitionException) || last) {
                    throw e;
                }
            }
        }
    }

    private static void admin(String bootstrap, String topic) throws Exception {
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
            var resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
            admin.createTopics(List.of(new NewTopic(topic, 3, (short) 1).configs(Map.of("retention.ms", "3600000")))).all().get();
            boolean listed = settled(() -> admin.listTopics().names().get().contains(topic), found -> found);
            int partitions = settled(() -> admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions().size(), n -> n > 0);
            Callable<String> retention = () -> admin.describeConfigs(List.of(resource)).all().get().get(resource).get("retention.ms").value();
            String before = settled(retention, value -> true);
            admin.incrementalAlterConfigs(Map.of(resource,
                    List.of(new AlterConfigOp(new ConfigEntry("retention.ms", "7200000"), AlterConfigOp.OpType.SET)))).all().get();
            String after = settled(retention, value -> !value.equals(before));
            admin.deleteTopics(List.of(topic)).all().get();
            say(Map.of("partitions", partitions, "retention", before, "listed", listed, "altered", after));
        }
    }
}
