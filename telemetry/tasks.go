package telemetry

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"sync"
	"time"
)

// State is where a task stands. A process is ready when all its tasks are Running.
type State string

const (
	Restoring State = "restoring" // a checkpoint is fetched, or the journal's tail replayed
	Running   State = "running"
	Waiting   State = "waiting" // for something outside: the registry, a broker, another owner
	Standby   State = "standby" // follows the journal of another process's task; ready
	Paused    State = "paused"  // someone has to act: a wrong clock, a wrong partitioner, a pause by hand
)

var states = [...]State{Restoring, Running, Waiting, Standby, Paused}

// TaskStatus is one task's answer in /readyz. Detail is a sentence for people,
// what the task waits for; it holds no customer's id.
type TaskStatus struct {
	State  State
	Detail string
	// Since is when the task came into State. Zero: now, or, when State is the
	// one that it had, what it was.
	Since time.Time
}

// Tasks is the registry behind /readyz. It is safe for concurrent use.
type Tasks struct {
	now func() time.Time

	mu      sync.Mutex
	process string
	tasks   map[int32]TaskStatus
}

func newTasks(now func() time.Time) *Tasks {
	return &Tasks{now: now, process: "starting", tasks: map[int32]TaskStatus{}}
}

// Process says what the process as a whole waits for, before it knows its tasks
// or while it stops; "" when it waits for nothing. It begins as "starting". A
// process that waits for nothing and owns no task (there are more processes than
// partitions) is ready.
func (t *Tasks) Process(waitsFor string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.process = waitsFor
}

// Set puts down how task stands.
func (t *Tasks) Set(task int32, s TaskStatus) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.Since.IsZero() {
		if old, ok := t.tasks[task]; ok && old.State == s.State {
			s.Since = old.Since
		} else {
			s.Since = t.now()
		}
	}
	t.tasks[task] = s
}

// Remove takes out a task that this process no longer owns.
func (t *Tasks) Remove(task int32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.tasks, task)
}

// TaskReadiness is a task in the body of /readyz.
type TaskReadiness struct {
	Task    int32     `json:"task"`
	State   State     `json:"state"`
	Detail  string    `json:"detail,omitempty"`
	Since   time.Time `json:"since"`   // UTC
	Seconds int64     `json:"seconds"` // since then, never negative
}

// Readiness is the body of /readyz.
type Readiness struct {
	Ready   bool            `json:"ready"`
	Process string          `json:"process,omitempty"` // what the process waits for
	Tasks   []TaskReadiness `json:"tasks"`             // by number
}

// Readiness gives what /readyz says at this moment.
func (t *Tasks) Readiness() Readiness {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := Readiness{Ready: t.process == "", Process: t.process, Tasks: make([]TaskReadiness, 0, len(t.tasks))}
	now := t.now()
	for task, s := range t.tasks {
		if s.State != Running && s.State != Standby {
			r.Ready = false
		}
		r.Tasks = append(r.Tasks, TaskReadiness{
			Task: task, State: s.State, Detail: s.Detail, Since: s.Since.UTC(),
			Seconds: max(0, int64(now.Sub(s.Since)/time.Second)),
		})
	}
	slices.SortFunc(r.Tasks, func(a, b TaskReadiness) int { return cmp.Compare(a.Task, b.Task) })
	return r
}

// ServeHTTP answers 200 when the process is ready, else 503, with a Readiness as JSON.
func (t *Tasks) ServeHTTP(w http.ResponseWriter, _ *http.Request) { t.serve(w, true) }

// serve leaves out what the process and its tasks wait for unless detail is asked for.
func (t *Tasks) serve(w http.ResponseWriter, detail bool) {
	r := t.Readiness()
	if !detail {
		r.Process, r.Tasks = "", []TaskReadiness{}
	}
	body, err := json.Marshal(r)
	if err != nil {
		// A time outside the years that RFC 3339 knows.
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if !r.Ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	w.Write(append(body, '\n'))
}
