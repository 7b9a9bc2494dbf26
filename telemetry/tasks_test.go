package telemetry

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"
)

func TestReadiness(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	tasks := newTasks(func() time.Time { return now })
	server := httptest.NewServer(tasks)
	defer server.Close()
	client := server.Client()
	defer client.CloseIdleConnections()

	ask := func(wantCode int) Readiness {
		t.Helper()
		resp, err := client.Get(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if got := resp.StatusCode; got != wantCode {
			t.Errorf("status %d, want %d", got, wantCode)
		}
		if got, want := resp.Header.Get("Content-Type"), "application/json"; got != want {
			t.Errorf("content type %q, want %q", got, want)
		}
		var r Readiness
		if err := json.NewDecoder(resp.Body).Decode(&r); err != nil {
			t.Fatal(err)
		}
		if got, want := r.Ready, wantCode == http.StatusOK; got != want {
			t.Errorf("ready = %t, want %t", got, want)
		}
		return r
	}

	if got, want := ask(503).Process, "starting"; got != want {
		t.Errorf("process %q, want %q", got, want)
	}
	tasks.Process("")
	ask(200) // more processes than partitions: nothing to do is ready

	tasks.Set(3, TaskStatus{State: Running})
	ask(200)
	for task := int32(20); task > 3; task-- {
		tasks.Set(task, TaskStatus{State: Running})
	}
	if !slices.IsSortedFunc(ask(200).Tasks, func(a, b TaskReadiness) int { return int(a.Task - b.Task) }) {
		t.Error("the tasks are not in the order of their numbers")
	}
	for task := int32(20); task > 3; task-- {
		tasks.Remove(task)
	}
	for _, state := range []State{Restoring, Waiting, Paused, "something new"} {
		tasks.Set(1, TaskStatus{State: state, Detail: "the registry at http://registry"})
		ask(503)
	}

	tasks.Set(1, TaskStatus{State: Waiting, Detail: "first"})
	now = now.Add(90 * time.Second)
	tasks.Set(1, TaskStatus{State: Waiting, Detail: "second"})
	r := ask(503)
	if got, want := len(r.Tasks), 2; got != want {
		t.Fatalf("%d tasks, want %d", got, want)
	}
	if got, want := r.Tasks[0], (TaskReadiness{Task: 1, State: Waiting, Detail: "second", Since: now.Add(-90 * time.Second), Seconds: 90}); got != want {
		t.Errorf("task 1: %+v, want %+v", got, want)
	}
	if got, want := r.Tasks[1].Task, int32(3); got != want {
		t.Errorf("second task %d, want %d", got, want)
	}

	tasks.Set(1, TaskStatus{State: Running})
	if got, want := ask(200).Tasks[0].Seconds, int64(0); got != want {
		t.Errorf("running for %d s, want %d: a new state begins anew", got, want)
	}
	tasks.Set(1, TaskStatus{State: Paused})
	tasks.Remove(1)
	ask(200)
	tasks.Process("shutting down")
	ask(503)
}
