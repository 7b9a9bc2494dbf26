package tidemark.peer;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/**
 * Avro's binary encoding, read and written by hand: faster than the Avro library
 * and than any registry's serializer, so that the peer's figures are of Kafka
 * Streams and not of a decoder.
 */
final class Wire {
    private Wire() {}

    /** Reads one record. */
    static final class Reader {
        private final byte[] b;
        private int at;

        Reader(byte[] b, int at) {
            this.b = b;
            this.at = at;
        }

        long num() {
            long v = 0;
            for (int shift = 0; ; shift += 7) {
                byte x = b[at++];
                v |= (long) (x & 0x7f) << shift;
                if (x >= 0) return v >>> 1 ^ -(v & 1);
            }
        }

        String text() {
            int n = (int) num();
            String s = new String(b, at, n, StandardCharsets.UTF_8);
            at += n;
            return s;
        }

        /** A 64-bit FNV-1a hash of a string, which is not made. */
        long hash() {
            int n = (int) num();
            long h = 0xcbf29ce484222325L;
            for (int end = at + n; at < end; at++) h = (h ^ b[at]) * 0x100000001b3L;
            return h;
        }

        void skip() {
            int n = (int) num(); // moves at, so it must come first
            at += n;
        }
    }

    /** Writes one record into a buffer that is used again. */
    static final class Writer {
        private byte[] b = new byte[1024];
        private int n;

        Writer reset() {
            n = 0;
            return this;
        }

        byte[] bytes() {
            return Arrays.copyOf(b, n);
        }

        private void room(int more) {
            if (n + more > b.length) b = Arrays.copyOf(b, Math.max(2 * b.length, n + more));
        }

        Writer raw(int v) {
            room(1);
            b[n++] = (byte) v;
            return this;
        }

        Writer num(long v) {
            room(10);
            long u = v << 1 ^ v >> 63;
            while ((u & ~0x7fL) != 0) {
                b[n++] = (byte) (u & 0x7f | 0x80);
                u >>>= 7;
            }
            b[n++] = (byte) u;
            return this;
        }

        Writer fixed(long v) {
            room(8);
            for (int i = 56; i >= 0; i -= 8) b[n++] = (byte) (v >>> i);
            return this;
        }

        Writer text(String s) {
            byte[] t = s.getBytes(StandardCharsets.UTF_8);
            num(t.length);
            room(t.length);
            System.arraycopy(t, 0, b, n, t.length);
            n += t.length;
            return this;
        }
    }
}
