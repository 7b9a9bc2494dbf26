package registry

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"tidemark/schemas"
)

// otherEnv is the address of a registry of another maker that speaks Confluent's
// REST API, such as http://127.0.0.1:8080/apis/ccompat/v7; `make test-registry`
// starts one. What is written there stays.
const otherEnv = "TIDEMARK_TEST_REGISTRY"

// The client against a registry that is not ours and not a fake: its answers must
// mean what the client takes them for, or records would die or wait without reason.
func TestAnotherMakersRegistry(t *testing.T) {
	base := os.Getenv(otherEnv)
	if base == "" {
		t.Skipf("%s names no registry", otherEnv)
	}
	c, err := NewClient(Config{URLs: []string{base}, Rounds: 1, Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx := t.Context()
	b := make([]byte, 4)
	rand.Read(b)
	subject := func(name string) string { return fmt.Sprintf("t%s-%s-value", hex.EncodeToString(b), name) }

	same := func(what, a, b string) {
		t.Helper()
		var x, y any
		if json.Unmarshal([]byte(a), &x) != nil || json.Unmarshal([]byte(b), &y) != nil || !reflect.DeepEqual(x, y) {
			t.Errorf("%s comes back as\n%s", what, a)
		}
	}
	for _, name := range schemas.Records() {
		text := schemas.Text(name)
		id, err := c.Register(ctx, subject(name), text)
		if err != nil || id <= 0 {
			t.Fatalf("register %s: %d, %v", name, id, err)
		}
		if again, err := c.Register(ctx, subject(name), text); err != nil || again != id {
			t.Errorf("register %s again: %d, %v, want %d", name, again, err, id)
		}
		found, version, err := c.Lookup(ctx, subject(name), text)
		if err != nil || found != id || version != 1 {
			t.Errorf("look %s up: %d, %d, %v, want %d, 1", name, found, version, err, id)
		}
		got, refs, err := c.SchemaByID(ctx, id)
		if err != nil || len(refs) != 0 {
			t.Fatalf("%s by id: %v, %v", name, refs, err)
		}
		same(name, got, text)
	}

	// Evolution, as every later version of ours will be.
	one := `{"type":"record","name":"Visit","fields":[{"name":"a","type":"long"}]}`
	two := `{"type":"record","name":"Visit","fields":[{"name":"a","type":"long"},{"name":"b","type":"string","default":""}]}`
	bad := `{"type":"record","name":"Visit","fields":[{"name":"a","type":"long"},{"name":"c","type":"string"}]}`
	s := subject("visit")
	if _, err := c.Register(ctx, s, one); err != nil {
		t.Fatal(err)
	}
	if err := c.SetCompatibility(ctx, s, "BACKWARD"); err != nil {
		t.Fatalf("compatibility: %v", err)
	}
	if _, err := c.Register(ctx, s, two); err != nil {
		t.Errorf("a field with a default: %v", err)
	}
	if _, err := c.Register(ctx, s, bad); !errors.Is(err, ErrIncompatible) {
		t.Errorf("a field without a default: %v, want %v", err, ErrIncompatible)
	}
	if _, err := c.Register(ctx, subject("broken"), `{"type":"record","name":"X","fields":[{"name":"a","type":"lnog"}]}`); !errors.Is(err, ErrInvalid) {
		t.Errorf("no schema: %v, want %v", err, ErrInvalid)
	}
	// What is not there is a definite answer, and so a dead letter, not a wait.
	if _, _, err := c.SchemaByID(ctx, 2_000_000_000); !errors.Is(err, ErrNotFound) {
		t.Errorf("an id that was never given: %v, want %v", err, ErrNotFound)
	}
	if _, _, err := c.Lookup(ctx, subject("none"), one); !errors.Is(err, ErrNotFound) {
		t.Errorf("a subject that is not there: %v, want %v", err, ErrNotFound)
	}

	// A schema that another one refers to.
	if _, err := c.Register(ctx, subject("address"), `{"type":"record","name":"Address","namespace":"shop","fields":[{"name":"city","type":"string"}]}`); err != nil {
		t.Fatal(err)
	}
	body, _ := json.Marshal(map[string]any{"schemaType": "AVRO",
		"schema":     `{"type":"record","name":"Person","namespace":"shop","fields":[{"name":"home","type":"shop.Address"}]}`,
		"references": []map[string]any{{"name": "shop.Address", "subject": subject("address"), "version": 1}}})
	resp, err := http.Post(strings.TrimSuffix(base, "/")+"/subjects/"+subject("person")+"/versions", mediaType, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	var made struct{ ID int32 }
	if err := json.Unmarshal(text, &made); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", resp.Status, text)
	}
	if _, refs, err := c.SchemaByID(ctx, made.ID); err != nil || len(refs) != 1 || !strings.Contains(refs[0], "Address") {
		t.Errorf("references: %v, %v", refs, err)
	}
}
