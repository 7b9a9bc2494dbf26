package registry

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"tidemark/schemas"
)

// The three strategies name the subjects that Confluent's serializers name.
func TestNaming(t *testing.T) {
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.URL.Path)
		_ = json.NewEncoder(w).Encode(map[string]int{"id": 7, "version": 1})
	}))
	defer server.Close()
	for naming, want := range map[Naming]string{
		"":              "my.tier-changes-value",
		TopicName:       "my.tier-changes-value",
		RecordName:      "tidemark.v1.TierChange",
		TopicRecordName: "my.tier-changes-tidemark.v1.TierChange",
	} {
		c, err := NewClient(Config{URLs: []string{server.URL}, Naming: naming})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		asked = nil
		subject := schemas.Subject("my.tier-changes")
		if _, err := c.Register(t.Context(), subject, schemas.Text("TierChange")); err != nil {
			t.Fatal(err)
		}
		if _, _, err := c.Lookup(t.Context(), subject, schemas.Text("TierChange")); err != nil {
			t.Fatal(err)
		}
		if got, want := strings.Join(asked, ", "), "POST /subjects/"+want+"/versions, POST /subjects/"+want; got != want {
			t.Errorf("%s: %s, want %s", naming, got, want)
		}
	}
	if _, err := RecordName.subject("s-value", `"string"`); !errors.Is(err, ErrInvalid) {
		t.Errorf("a schema without a name: %v", err)
	}
	if _, err := NewClient(Config{URLs: []string{server.URL}, Naming: "other"}); err == nil {
		t.Error("an unknown strategy is taken")
	}
}
