package tidemark.peer;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Arrays;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.atomic.LongAdder;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.PunctuationType;
import org.apache.kafka.streams.processor.TimestampExtractor;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.RocksDBConfigSetter;
import org.apache.kafka.streams.state.Stores;
import org.rocksdb.BlockBasedTableConfig;
import org.rocksdb.BloomFilter;
import org.rocksdb.Cache;
import org.rocksdb.LRUCache;
import org.rocksdb.Options;
import org.rocksdb.WriteBufferManager;

/**
 * The job of bench/playbook.yaml on Kafka Streams. Arguments: bootstrap servers,
 * application id, input topic, prefix of the output topics, folder, commit
 * interval in ms. Every 100 ms a line "events triggers" on stdout; it ends calmly
 * when its standard input does.
 */
public final class Peer implements Processor<byte[], byte[], byte[], byte[]> {
    private static final LongAdder EVENTS = new LongAdder(), TRIGGERS = new LongAdder();

    private static final byte[] SET = {1};

    private ProcessorContext<byte[], byte[]> context;
    private KeyValueStore<Bytes, byte[]> customers, timers;
    private long fired; // lost at a restart: the first look then begins at 0
    private final Rules rules = new Rules();
    private final Wire.Writer out = new Wire.Writer();

    @Override
    public void init(ProcessorContext<byte[], byte[]> context) {
        this.context = context;
        customers = context.getStateStore("customers");
        timers = context.getStateStore("timers");
        context.schedule(Duration.ofDays(1), PunctuationType.STREAM_TIME, this::fire);
    }

    @Override
    public void process(Record<byte[], byte[]> r) {
        EVENTS.increment();
        OrderEvent e = OrderEvent.of(r.value());
        Bytes key = Bytes.wrap(r.key());
        Customer c = Customer.of(customers.get(key));
        if (!c.take(e)) return;
        long now = Math.max(e.at, c.latest);
        if (e.type == OrderEvent.PAID && c.warned == 1) {
            c.warned = 0;
            say("churn", r.key(), "ENDED", now, "likely_gone", "likely", "none", "orders", c.days);
        }
        settle(r.key(), c, now);
        customers.put(key, c.row());
    }

    /**
     * Fires what is due, in due order: once a day of stream time. By the hour it
     * would be closer to the moment and cost many times as much, since every look
     * opens an iterator over RocksDB and the cache.
     */
    private void fire(long now) {
        byte[] from = ByteBuffer.allocate(8).putLong(fired).array(); // past what was deleted
        fired = now;
        byte[] to = ByteBuffer.allocate(8).putLong(now + 1).array();
        try (KeyValueIterator<Bytes, byte[]> it = timers.range(Bytes.wrap(from), Bytes.wrap(to))) {
            while (it.hasNext()) {
                Bytes timer = it.next().key;
                long at = ByteBuffer.wrap(timer.get()).getLong();
                byte[] id = Arrays.copyOfRange(timer.get(), 8, timer.get().length);
                timers.delete(timer);
                Bytes key = Bytes.wrap(id);
                Customer c = Customer.of(customers.get(key));
                if (c.timer != at) continue; // moved meanwhile
                c.timer = 0;
                if (c.warned == 0 && Rules.silence(c) <= at) {
                    c.warned = 1;
                    say("churn", id, "FIRED", at, "likely_gone", "none", "likely", "silence_ms", at - c.latest);
                }
                settle(id, c, at);
                customers.put(key, c.row());
            }
        }
    }

    /** Asks tiers and RFM again, and arms the one timer; a timer that is too early is left. */
    private void settle(byte[] id, Customer c, long now) {
        rules.sum(c, now);
        int level = rules.level();
        if (level != c.level) {
            say("tier", id, "FIRED", now, "member", Rules.LEVELS[c.level], Rules.LEVELS[level], "spend", rules.spend);
            c.level = level;
        }
        int rfm = rules.rfm(now);
        if (rfm != c.rfm) {
            say("lifecycle", id, "FIRED", now, "value_map", c.rfm < 0 ? "" : Rules.CLASSES[c.rfm], rfm < 0 ? "" : Rules.CLASSES[rfm], "orders", rules.orders);
            c.rfm = rfm;
        }
        if (c.timer != 0 && c.timer > now && rules.next(c, now) >= c.timer) return;
        long next = rules.next(c, now);
        if (next == Long.MAX_VALUE) return;
        if (c.timer > now) timers.delete(timer(c.timer, id));
        c.timer = next;
        timers.put(timer(next, id), SET);
    }

    private static Bytes timer(long at, byte[] id) {
        return Bytes.wrap(ByteBuffer.allocate(8 + id.length).putLong(at).put(id).array());
    }

    /** Publishes a trigger with the contract's first fields and headers. */
    private void say(String topic, byte[] id, String status, long at, String rule, String from, String to, String fact, long value) {
        TRIGGERS.increment();
        String customer = new String(id, StandardCharsets.UTF_8);
        String trigger = Long.toHexString(Arrays.hashCode(id) * 0x9E3779B97F4A7C15L ^ at ^ rule.hashCode());
        out.reset().raw(0).raw(0).raw(0).raw(0).raw(1);
        out.text(trigger).text(customer).text(rule).text("1").num(1).text(status).num(0).num(at).num(0);
        out.num(1).text(fact).text(Long.toString(value)).text(">=").text("0").num(0); // evidence
        out.text("").text(from).text(to);
        RecordHeaders h = new RecordHeaders();
        h.add("ce_id", trigger.getBytes(StandardCharsets.UTF_8));
        h.add("ce_type", topic.getBytes(StandardCharsets.UTF_8));
        h.add("ce_source", rule.getBytes(StandardCharsets.UTF_8));
        h.add("ce_time", Long.toString(at).getBytes(StandardCharsets.UTF_8));
        h.add("ce_specversion", new byte[] {'1', '.', '0'});
        h.add("content-type", "application/avro".getBytes(StandardCharsets.UTF_8));
        context.forward(new Record<>(id, out.bytes(), System.currentTimeMillis(), h), topic);
    }

    /** One block cache and one write budget for all stores, bloom filters: what Kafka's own docs advise. */
    public static final class Rocks implements RocksDBConfigSetter {
        private static final Cache CACHE = new LRUCache(256L << 20, -1, false, 0.1);
        private static final WriteBufferManager WRITES = new WriteBufferManager(128L << 20, CACHE);

        @Override
        public void setConfig(String store, Options options, Map<String, Object> configs) {
            BlockBasedTableConfig t = (BlockBasedTableConfig) options.tableFormatConfig();
            t.setBlockCache(CACHE);
            t.setCacheIndexAndFilterBlocks(true);
            t.setCacheIndexAndFilterBlocksWithHighPriority(true);
            t.setPinTopLevelIndexAndFilter(true);
            t.setFilterPolicy(new BloomFilter(10, false));
            options.setWriteBufferManager(WRITES);
            options.setTableFormatConfig(t);
        }

        @Override
        public void close(String store, Options options) {}
    }

    /** Time is the event's own, as the playbook's clock: input has it. */
    public static final class EventTime implements TimestampExtractor {
        @Override
        public long extract(ConsumerRecord<Object, Object> r, long partitionTime) {
            return OrderEvent.time((byte[]) r.value());
        }
    }

    public static void main(String[] args) throws Exception {
        Properties p = new Properties();
        p.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, args[0]);
        p.put(StreamsConfig.APPLICATION_ID_CONFIG, args[1]);
        p.put(StreamsConfig.STATE_DIR_CONFIG, args[4]);
        p.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, args[5]);
        p.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        p.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 2);
        p.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
        p.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 128L << 20);
        p.put(StreamsConfig.ROCKSDB_CONFIG_SETTER_CLASS_CONFIG, Rocks.class);
        p.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.ByteArraySerde.class);
        p.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.ByteArraySerde.class);
        p.put(StreamsConfig.DEFAULT_TIMESTAMP_EXTRACTOR_CLASS_CONFIG, EventTime.class);
        p.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
        p.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), 5000);
        p.put(StreamsConfig.producerPrefix("linger.ms"), 100);
        p.put(StreamsConfig.producerPrefix("batch.size"), 256 << 10);
        p.put(StreamsConfig.producerPrefix("compression.type"), "lz4");
        Topology t = new Topology();
        t.addSource("orders", Serdes.ByteArray().deserializer(), Serdes.ByteArray().deserializer(), args[2]);
        t.addProcessor("job", Peer::new, "orders");
        t.addStateStore(Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore("customers"), Serdes.Bytes(), Serdes.ByteArray()).withCachingEnabled(), "job");
        // A timer is written once and deleted once: the cache would only stand in the iterators' way.
        t.addStateStore(Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore("timers"), Serdes.Bytes(), Serdes.ByteArray()).withCachingDisabled(), "job");
        for (String topic : new String[] {"tier", "churn", "lifecycle"})
            t.addSink(topic, args[3] + topic, Serdes.ByteArray().serializer(), Serdes.ByteArray().serializer(), "job");
        KafkaStreams s = new KafkaStreams(t, p);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> s.close(Duration.ofSeconds(30)))); // commits
        Thread end = new Thread(() -> {
            try {
                while (System.in.read() >= 0) {}
            } catch (java.io.IOException e) {
                // gone is ended
            }
            System.exit(0);
        });
        end.setDaemon(true);
        end.start();
        s.start();
        while (s.state() != KafkaStreams.State.ERROR) {
            Thread.sleep(100);
            System.out.println(EVENTS.sum() + " " + TRIGGERS.sum());
        }
        System.exit(1);
    }
}
