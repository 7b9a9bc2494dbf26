package tidemark.peer;

/**
 * The rules of bench/playbook.yaml: tiers over a rolling year, RFM by fixed cuts
 * on Putler's grid, a churn warning by BG/NBD. Each says where a customer stands
 * at an instant, and when time alone may next change that.
 */
final class Rules {
    static final String[] LEVELS = {"Base", "Silver", "Gold", "Diamond"};
    static final String[] CLASSES = {"champions", "loyal", "potential_loyalist", "new_customers", "promising", "need_attention",
        "about_to_sleep", "at_risk", "cant_lose_them", "lost", "others"};
    private static final long[] REACH = {0, 25_000, 150_000, 300_000}; // minor units
    private static final long DAY = Customer.DAY, WEEK = 7 * DAY;
    private static final long[] RECENCY = {100 * DAY, 160 * DAY, 230 * DAY, 300 * DAY};
    private static final int[] FREQUENCY = {2, 30, 45, 60};
    private static final long[] MONETARY = {100, 200_000, 400_000, 600_000};
    private static final double R = 2.5, ALPHA = 11, A = .6, B = 3, H = 13, LIMIT = .7;
    private static final long MIN_SILENCE = 14 * DAY, FALLBACK = 120 * DAY;

    long spend; // within the window
    int orders;
    long newest; // an order of which something remains
    long departs; // when the oldest leaves the window

    /** Sums the window that ends at now. */
    void sum(Customer c, long now) {
        spend = orders = 0;
        newest = 0;
        departs = Long.MAX_VALUE;
        for (int i = 0; i < c.n; i++) {
            if (c.amount[i] <= 0 || c.at[i] > now || c.at[i] <= now - Customer.WINDOW) continue;
            spend += c.amount[i];
            orders++;
            newest = Math.max(newest, c.at[i]);
            departs = Math.min(departs, c.at[i] + Customer.WINDOW);
        }
    }

    int level() {
        int l = 0;
        while (l + 1 < REACH.length && spend >= REACH[l + 1]) l++;
        return l;
    }

    int rfm(long now) {
        if (orders == 0) return -1;
        int r = 5, f = 1, m = 1;
        for (long cut : RECENCY) if (now - newest >= cut) r--;
        for (int cut : FREQUENCY) if (orders >= cut) f++;
        for (long cut : MONETARY) if (spend >= cut) m++;
        if (r >= 4 && f >= 4 && m >= 4) return 0;
        if (r >= 2 && f >= 3 && m >= 3) return 1;
        if (r >= 3 && f <= 3 && m <= 3) return 2;
        if (r >= 4 && f == 1 && m == 1) return 3;
        if (r >= 3 && r <= 4 && f == 1 && m == 1) return 4;
        if (r >= 2 && r <= 3 && in(f, 2, 3) && in(m, 2, 3)) return 5;
        if (r >= 2 && r <= 3 && f <= 2 && m <= 2) return 6;
        if (r <= 2 && f >= 2 && m >= 2) return 7;
        if (r == 1 && f >= 4 && m >= 4) return 8;
        if (r <= 2 && f <= 2 && m <= 2) return 9;
        return 10;
    }

    private static boolean in(int v, int lo, int hi) {
        return v >= lo && v <= hi;
    }

    /** When the churn warning is due for a customer silent since her newest order. */
    static long silence(Customer c) {
        int x = c.days;
        double tx = (c.lastDay * DAY + DAY - c.first) / (double) WEEK;
        if (x == 0) tx = 0;
        double t = (c.latest - c.first + MIN_SILENCE) / (double) WEEK;
        if (gone(x, tx, t) >= LIMIT) return c.latest + FALLBACK;
        double lo = t, hi = t + 52;
        while (gone(x, tx, hi) < LIMIT) {
            lo = hi;
            hi *= 2;
            if (hi > 5000) return c.latest + FALLBACK;
        }
        while (hi - lo > 1.0 / WEEK * 1000) { // to the second
            double mid = (lo + hi) / 2;
            if (gone(x, tx, mid) >= LIMIT) hi = mid;
            else lo = mid;
        }
        return c.first + (long) (hi * WEEK);
    }

    /** The chance of no purchase within the horizon. */
    private static double gone(int x, double tx, double t) {
        double alive = x == 0 ? 1 : 1 / (1 + A / (B + x - 1) * Math.pow((ALPHA + t) / (ALPHA + Math.min(tx, t)), R + x));
        return 1 - alive * (1 - Math.pow((ALPHA + t) / (ALPHA + t + H), R + x));
    }

    /** When time alone may change anything. */
    long next(Customer c, long now) {
        long at = departs;
        for (long cut : RECENCY) if (newest > 0 && newest + cut > now) at = Math.min(at, newest + cut);
        if (c.warned == 0) {
            long due = silence(c);
            if (due > now) at = Math.min(at, due);
        }
        return at;
    }
}
