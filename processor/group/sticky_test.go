package group

import (
	"encoding/json"
	"fmt"
	"reflect"
	"sort"
	"testing"

	kafka "github.com/segmentio/kafka-go"
	"pgregory.net/rapid"
)

func member(id string, owned ...int32) kafka.GroupMember {
	b, _ := json.Marshal(userData{Owned: owned})
	return kafka.GroupMember{ID: id, UserData: b}
}

func partitionsOf(n int, topics ...string) []kafka.Partition {
	var out []kafka.Partition
	for _, t := range topics {
		for i := range n {
			out = append(out, kafka.Partition{Topic: t, ID: i})
		}
	}
	return out
}

// A task is one partition number of every topic: they never part.
func TestTopicsOfATaskStayTogether(t *testing.T) {
	s := &sticky{}
	got := s.AssignGroups([]kafka.GroupMember{member("a"), member("b")}, partitionsOf(5, "orders", "behaviors"))
	for id, topics := range got {
		if !reflect.DeepEqual(topics["orders"], topics["behaviors"]) {
			t.Errorf("%s: orders %v, behaviors %v", id, topics["orders"], topics["behaviors"])
		}
	}
}

func TestWhoHasATaskKeepsIt(t *testing.T) {
	s := &sticky{}
	got := s.AssignGroups([]kafka.GroupMember{member("new"), member("b", 0, 1, 2), member("a", 3, 4, 5)}, partitionsOf(6, "orders"))
	want := kafka.GroupMemberAssignments{"a": {"orders": {3, 4}}, "b": {"orders": {0, 1}}, "new": {"orders": {2, 5}}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// User data that no version of ours wrote must not keep a group from forming.
func TestStrangeUserData(t *testing.T) {
	s := &sticky{}
	odd := kafka.GroupMember{ID: "odd", UserData: []byte{0xff, 0}}
	got := s.AssignGroups([]kafka.GroupMember{odd, member("liar", 0, 0, 99, -1)}, partitionsOf(2, "orders"))
	want := kafka.GroupMemberAssignments{"liar": {"orders": {0}}, "odd": {"orders": {1}}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// For any members with any claims: every task has one owner, shares differ by
// at most one, the order of the members means nothing, and no more tasks move
// than evenness asks for.
func TestSpread(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		n := rapid.IntRange(1, 7).Draw(r, "members")
		tasks := rapid.IntRange(0, 40).Draw(r, "tasks")
		var ms []kafka.GroupMember
		owner := map[int]string{}
		claims := map[string][]int32{}
		for task := range tasks {
			if i := rapid.IntRange(-1, n-1).Draw(r, "owner"); i >= 0 {
				id := fmt.Sprintf("m%d", i)
				owner[task] = id
				claims[id] = append(claims[id], int32(task))
			}
		}
		for i := range n {
			id := fmt.Sprintf("m%d", i)
			ms = append(ms, member(id, claims[id]...))
		}
		s := &sticky{}
		got := s.AssignGroups(ms, partitionsOf(tasks, "orders"))
		shuffled := rapid.Permutation(ms).Draw(r, "order")
		if again := s.AssignGroups(shuffled, partitionsOf(tasks, "orders")); !reflect.DeepEqual(got, again) {
			r.Fatalf("another order of members gives %v, not %v", again, got)
		}
		seen := map[int]bool{}
		kept, low, high := 0, tasks, 0
		for id, topics := range got {
			list := topics["orders"]
			low, high = min(low, len(list)), max(high, len(list))
			for _, task := range list {
				if seen[task] {
					r.Fatalf("task %d has two owners", task)
				}
				seen[task] = true
				if owner[task] == id {
					kept++
				}
			}
		}
		if len(seen) != tasks {
			r.Fatalf("%d of %d tasks have an owner", len(seen), tasks)
		}
		if high-low > 1 {
			r.Fatalf("shares from %d to %d", low, high)
		}
		// The best that evenness allows: everybody keeps up to the lower share,
		// and as many as there are larger shares keep one more.
		want, more := 0, 0
		for i := range n {
			c := len(claims[fmt.Sprintf("m%d", i)])
			want += min(c, tasks/n)
			if c > tasks/n {
				more++
			}
		}
		want += min(more, tasks%n)
		if kept != want {
			r.Fatalf("%d tasks stayed, %d could", kept, want)
		}
	})
}

func TestUserDataTellsWhatIsOwned(t *testing.T) {
	s := &sticky{owned: func() []int32 { return []int32{4, 2} }}
	b, err := s.UserData()
	if err != nil {
		t.Fatal(err)
	}
	var u userData
	if err := json.Unmarshal(b, &u); err != nil {
		t.Fatal(err)
	}
	sort.Slice(u.Owned, func(i, j int) bool { return u.Owned[i] < u.Owned[j] })
	if got, want := u.Owned, []int32{2, 4}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func warmMember(id, host string, warm map[int32]int64, owned ...int32) kafka.GroupMember {
	b, _ := json.Marshal(userData{Owned: owned, Warm: warm, Host: host})
	return kafka.GroupMember{ID: id, UserData: b}
}

// A task without an owner goes to the newest copy, and standbys away from it.
func TestWarmCopiesAndStandbys(t *testing.T) {
	s := &sticky{journal: "journal", copies: 1}
	members := []kafka.GroupMember{
		warmMember("a", "h1", map[int32]int64{0: 10, 1: 10}, 0, 1),
		warmMember("b", "h1", map[int32]int64{2: 5}),
		warmMember("c", "h2", map[int32]int64{2: 7, 1: 3}),
	}
	got := s.AssignGroups(members, append(partitionsOf(3, "orders"), partitionsOf(3, "journal")...))
	want := kafka.GroupMemberAssignments{
		"a": {"orders": {0}, "journal": {1}}, // its copy of 1 is the newest, but it has its share
		"b": {"orders": {2}, "journal": nil}, // shares a machine with a
		"c": {"orders": {1}, "journal": {0, 2}},
	}
	for id, topics := range want {
		for topic, list := range topics {
			if fmt.Sprint(got[id][topic]) != fmt.Sprint(list) {
				t.Errorf("%s has %v of %s, want %v", id, got[id][topic], topic, list)
			}
		}
	}
}

// For any members: a standby is never its task's owner nor there twice, every task
// has as many as there are others to hold them, and shares stay near each other.
func TestStandbysSpread(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		n := rapid.IntRange(1, 6).Draw(r, "members")
		tasks := rapid.IntRange(1, 30).Draw(r, "tasks")
		copies := rapid.IntRange(0, 3).Draw(r, "copies")
		var ms []kafka.GroupMember
		for i := range n {
			warm := map[int32]int64{}
			for task := range tasks {
				if rapid.IntRange(0, 3).Draw(r, "warm") == 0 {
					warm[int32(task)] = int64(rapid.IntRange(1, 9).Draw(r, "at"))
				}
			}
			ms = append(ms, warmMember(fmt.Sprintf("m%d", i), fmt.Sprintf("h%d", rapid.IntRange(0, 2).Draw(r, "host")), warm))
		}
		s := &sticky{journal: "journal", copies: copies}
		all := append(partitionsOf(tasks, "orders"), partitionsOf(tasks, "journal")...)
		got := s.AssignGroups(ms, all)
		if again := s.AssignGroups(rapid.Permutation(ms).Draw(r, "order"), all); !reflect.DeepEqual(got, again) {
			r.Fatalf("another order of members gives %v, not %v", again, got)
		}
		count := map[int]int{}
		for id, topics := range got {
			seen := map[int]bool{}
			for _, task := range topics["orders"] {
				seen[task] = true
			}
			for _, task := range topics["journal"] {
				if seen[task] {
					r.Fatalf("%s has task %d twice", id, task)
				}
				seen[task] = true
				count[task]++
			}
		}
		for task := range tasks {
			if got, want := count[task], min(copies, n-1); got != want {
				r.Fatalf("task %d has %d standbys, want %d", task, got, want)
			}
		}
	})
}
