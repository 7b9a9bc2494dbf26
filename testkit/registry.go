package testkit

import (
	"testing"

	"tidemark/embedded/registry"
	"tidemark/schemas"
	client "tidemark/schemas/registry"
)

var registries perTest[*registry.Server]

// Registry returns the base URL of a schema registry that keeps its state in the test's
// broker. Like the broker it is shared with subtests and stopped with the test that asked first.
func Registry(t testing.TB) string {
	t.Helper()
	return registries.get(t, "the embedded registry", func() (*registry.Server, func() error, error) {
		topic := Unique(t, "_schemas")
		admin := Client(t)
		t.Cleanup(func() { deleteTopic(t, admin, topic) }) // runs after the stop
		s, err := registry.Start(Context(t), registry.Options{Brokers: []string{Broker(t)}, Topic: topic})
		if err != nil {
			return nil, nil, err
		}
		return s, s.Close, nil
	}).URL()
}

// Register registers the contract's own schema of record ("OrderEvent", …) as the
// value schema of topic with the test's registry, and returns its id.
func Register(t testing.TB, topic, record string) int32 {
	t.Helper()
	text := schemas.Text(record)
	if text == "" {
		t.Fatalf("no record %q in %v", record, schemas.Records())
	}
	c, err := client.NewClient(client.Config{URLs: []string{Registry(t)}})
	if err != nil {
		t.Fatalf("registry client: %v", err)
	}
	defer c.Close()
	id, err := c.Register(Context(t), topic+"-value", text)
	if err != nil {
		t.Fatalf("registering %s for %s: %v", record, topic, err)
	}
	return id
}
