package group

import (
	"encoding/json"
	"sort"

	kafka "github.com/segmentio/kafka-go"
)

// protocol is the name under which members agree on this balancer.
const protocol = "tidemark-sticky"

// sticky assigns partition numbers, each with all topics that have it, evenly
// and with as few moves as that allows.
type sticky struct {
	owned func() []int32
}

type userData struct {
	Owned []int32 `json:"owned"`
}

func (s *sticky) ProtocolName() string { return protocol }

func (s *sticky) UserData() ([]byte, error) { return json.Marshal(userData{Owned: s.owned()}) }

// AssignGroups implements kafka.GroupBalancer. It is a pure function of its
// arguments, in whatever order they come.
func (s *sticky) AssignGroups(members []kafka.GroupMember, partitions []kafka.Partition) kafka.GroupMemberAssignments {
	tasks := map[int]map[string]bool{}
	for _, p := range partitions {
		if tasks[p.ID] == nil {
			tasks[p.ID] = map[string]bool{}
		}
		tasks[p.ID][p.Topic] = true
	}
	ids := make([]int, 0, len(tasks))
	for id := range tasks {
		ids = append(ids, id)
	}
	sort.Ints(ids)
	names := make([]string, 0, len(members))
	wants := map[string][]int32{}
	for _, m := range members {
		names = append(names, m.ID)
		var u userData
		if json.Unmarshal(m.UserData, &u) == nil {
			sort.Slice(u.Owned, func(i, j int) bool { return u.Owned[i] < u.Owned[j] })
			wants[m.ID] = u.Owned
		}
	}
	sort.Strings(names)
	out := kafka.GroupMemberAssignments{}
	for _, n := range names {
		out[n] = map[string][]int{}
	}
	for id, list := range spread(names, wants, ids) {
		for _, task := range list {
			for topic := range tasks[task] {
				out[id][topic] = append(out[id][topic], task)
			}
		}
	}
	return out
}

// spread gives every task to one member: first to who has it, up to the fair
// share, then the rest to who has least. The first members in order of name
// may have one more than the others.
func spread(names []string, wants map[string][]int32, tasks []int) map[string][]int {
	got := map[string][]int{}
	if len(names) == 0 {
		return got
	}
	low, extra := len(tasks)/len(names), len(tasks)%len(names)
	exists := map[int]bool{}
	for _, t := range tasks {
		exists[t] = true
	}
	taken := map[int]bool{}
	// Who has more than the lower share keeps one more, while there are such.
	for _, n := range names {
		for _, w := range wants[n] {
			t := int(w)
			if taken[t] || !exists[t] {
				continue
			}
			if len(got[n]) < low {
				got[n] = append(got[n], t)
				taken[t] = true
			} else if len(got[n]) == low && extra > 0 {
				got[n] = append(got[n], t)
				taken[t] = true
				extra--
			}
		}
	}
	for _, t := range tasks {
		if taken[t] {
			continue
		}
		best := names[0]
		for _, n := range names[1:] {
			if len(got[n]) < len(got[best]) {
				best = n
			}
		}
		got[best] = append(got[best], t)
	}
	for _, n := range names {
		sort.Ints(got[n])
	}
	return got
}
