package tidemark.peer;

/** What the job reads of the contract's order event: bytes of the Confluent wire format in. */
final class OrderEvent {
    static final int PAID = 1, CANCELLED = 2, REFUNDED = 3;

    long event; // hash of event_id
    long order; // hash of order_id
    int type;
    long at; // ms UTC
    long amount; // minor units

    /** Its time alone. */
    static long time(byte[] value) {
        Wire.Reader r = new Wire.Reader(value, 5);
        r.skip();
        r.skip();
        r.skip();
        r.num();
        return r.num();
    }

    static OrderEvent of(byte[] value) {
        Wire.Reader r = new Wire.Reader(value, 5); // magic byte, schema id
        OrderEvent e = new OrderEvent();
        e.event = r.hash();
        r.skip(); // customer_id is the key
        e.order = r.hash();
        e.type = (int) r.num();
        e.at = r.num();
        e.amount = r.num();
        return e; // the rest is not needed
    }
}
