package tidemark.peer;

import java.nio.ByteBuffer;
import java.util.Arrays;

/**
 * A customer's state: the orders within the horizon (what remains of each), the
 * ids of their events, and where each rule stands. As bytes in RocksDB, each
 * number fixed, since that is the fastest to read and write.
 */
final class Customer {
    static final long DAY = 86_400_000L, WINDOW = 365 * DAY, HORIZON = WINDOW + 30 * DAY;
    private static final int HEAD = 8 * 4 + 4 * 3;

    long first; // of all orders, ms
    long latest; // the newest event, ms
    long timer; // armed, ms; 0: none
    int days; // customer-days with an order, the first apart
    long lastDay;
    int level, rfm = -1, warned;
    int n;
    long[] at = new long[8], amount = new long[8], order = new long[8], event = new long[8];

    static Customer of(byte[] row) {
        Customer c = new Customer();
        if (row == null) return c;
        ByteBuffer b = ByteBuffer.wrap(row);
        c.first = b.getLong();
        c.latest = b.getLong();
        c.timer = b.getLong();
        c.lastDay = b.getLong();
        c.days = b.getInt();
        int packed = b.getInt();
        c.level = packed & 0xff;
        c.rfm = (packed >> 8 & 0xff) - 1;
        c.warned = packed >> 16 & 1;
        int n = b.getInt();
        c.room(n);
        c.n = n;
        for (int i = 0; i < n; i++) {
            c.at[i] = b.getLong();
            c.amount[i] = b.getLong();
            c.order[i] = b.getLong();
            c.event[i] = b.getLong();
        }
        return c;
    }

    byte[] row() {
        ByteBuffer b = ByteBuffer.allocate(HEAD + 32 * n);
        b.putLong(first).putLong(latest).putLong(timer).putLong(lastDay).putInt(days);
        b.putInt(level | rfm + 1 << 8 | warned << 16).putInt(n);
        for (int i = 0; i < n; i++) b.putLong(at[i]).putLong(amount[i]).putLong(order[i]).putLong(event[i]);
        return b.array();
    }

    private void room(int want) {
        if (want <= at.length) return;
        int size = Math.max(2 * at.length, want);
        at = Arrays.copyOf(at, size);
        amount = Arrays.copyOf(amount, size);
        order = Arrays.copyOf(order, size);
        event = Arrays.copyOf(event, size);
    }

    /** Applies an event; false: it came before, or refunds what is not known. */
    boolean take(OrderEvent e) {
        for (int i = n - 1; i >= 0; i--) if (event[i] == e.event) return false;
        prune(e.at - HORIZON);
        if (e.type == OrderEvent.PAID) {
            room(n + 1);
            at[n] = e.at;
            amount[n] = e.amount;
            order[n] = e.order;
            event[n++] = e.event;
            long day = Math.floorDiv(e.at, DAY);
            if (first == 0) first = e.at;
            else if (day != lastDay) days++;
            lastDay = day;
            latest = Math.max(latest, e.at);
            return true;
        }
        for (int i = n - 1; i >= 0; i--) {
            if (order[i] != e.order || at[i] > e.at) continue;
            amount[i] -= e.type == OrderEvent.CANCELLED ? amount[i] : Math.min(amount[i], e.amount);
            room(n + 1); // its id, so that a repeat is seen
            at[n] = e.at;
            amount[n] = 0;
            order[n] = 0;
            event[n++] = e.event;
            return true;
        }
        return false;
    }

    private void prune(long before) {
        int k = 0;
        while (k < n && at[k] < before) k++;
        if (k == 0) return;
        n -= k;
        for (long[] a : new long[][] {at, amount, order, event}) System.arraycopy(a, k, a, 0, n);
    }
}
