package loopback

import (
	"errors"
	"testing"
)

func TestResolve(t *testing.T) {
	for addr, want := range map[string]string{"127.0.0.1:0": "127.0.0.1:0", "LocalHost:9092": "127.0.0.1:9092",
		"127.8.0.1:1": "127.8.0.1:1", "[::1]:9092": "[::1]:9092"} {
		if got, err := Resolve(addr); err != nil || got != want {
			t.Errorf("%s: %s, %v, want %s", addr, got, err, want)
		}
	}
	for _, addr := range []string{":9092", "0.0.0.0:9092", "[::]:9092", "192.0.2.1:9092", "localhost.example.com:9092"} {
		if got, err := Resolve(addr); !errors.Is(err, ErrNotLoopback) {
			t.Errorf("%s: %s, %v, want ErrNotLoopback", addr, got, err)
		}
	}
	if _, err := Resolve("127.0.0.1"); err == nil {
		t.Error("an address without a port was taken")
	}
}
