package group

import (
	"encoding/json"
	"slices"
	"sort"

	kafka "github.com/segmentio/kafka-go"
)

// protocol is the name under which members agree on this balancer.
const protocol = "tidemark-sticky"

// sticky assigns partition numbers, each with all topics that have it, evenly
// and with as few moves as that allows; what has to move goes to a member that
// holds a warm copy. Standbys are assigned as partitions of the journal's topic:
// who is given one follows that task.
type sticky struct {
	owned   func() []int32
	warm    func() map[int32]int64
	host    string
	journal string // topic; "": no standbys
	copies  int    // standbys of each task
}

// userData is what a member tells of itself. Older members tell less.
type userData struct {
	Owned []int32         `json:"owned"`
	Warm  map[int32]int64 `json:"warm,omitempty"` // task to the journal sequence that its copy stands at
	Host  string          `json:"host,omitempty"` // the machine
}

func (s *sticky) ProtocolName() string { return protocol }

func (s *sticky) UserData() ([]byte, error) {
	u := userData{Owned: s.owned(), Host: s.host}
	if s.warm != nil {
		u.Warm = s.warm()
	}
	return json.Marshal(u)
}

// AssignGroups implements kafka.GroupBalancer. It is a pure function of its
// arguments, in whatever order they come.
func (s *sticky) AssignGroups(members []kafka.GroupMember, partitions []kafka.Partition) kafka.GroupMemberAssignments {
	tasks := map[int]map[string]bool{}
	for _, p := range partitions {
		if p.Topic == s.journal && s.journal != "" {
			continue // says who follows, not what there is to do
		}
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
	about := map[string]userData{}
	for _, m := range members {
		names = append(names, m.ID)
		var u userData
		if json.Unmarshal(m.UserData, &u) == nil {
			sort.Slice(u.Owned, func(i, j int) bool { return u.Owned[i] < u.Owned[j] })
			wants[m.ID] = u.Owned
			about[m.ID] = u
		}
	}
	sort.Strings(names)
	out := kafka.GroupMemberAssignments{}
	for _, n := range names {
		out[n] = map[string][]int{}
	}
	owners := spread(names, wants, about, ids)
	for id, list := range owners {
		for _, task := range list {
			for topic := range tasks[task] {
				out[id][topic] = append(out[id][topic], task)
			}
		}
	}
	if s.journal != "" && s.copies > 0 {
		for id, list := range standbys(names, owners, about, ids, s.copies) {
			out[id][s.journal] = list
		}
	}
	return out
}

// standbys places copies of each task away from its owner: on another machine if
// there is one, where a copy stands already if there is one, else where there are
// fewest. No member gets many more than its share.
func standbys(names []string, owners map[string][]int, about map[string]userData, tasks []int, copies int) map[string][]int {
	owner := map[int]string{}
	for n, list := range owners {
		for _, t := range list {
			owner[t] = n
		}
	}
	got := map[string][]int{}
	copies = min(copies, len(names)-1)
	if copies <= 0 {
		return got
	}
	most := (len(tasks)*copies + len(names) - 1) / len(names)
	for range copies {
		for _, t := range tasks {
			best := ""
			better := func(n string) bool {
				away := func(n string) bool { return about[n].Host == "" || about[n].Host != about[owner[t]].Host }
				if a, b := away(n), away(best); a != b {
					return a
				}
				// One over the share for whoever holds a copy: copying costs more.
				full := func(n string) bool {
					_, warm := about[n].Warm[int32(t)]
					return len(got[n]) > most || len(got[n]) == most && !warm
				}
				if a, b := full(n), full(best); a != b {
					return b
				}
				if a, b := about[n].Warm[int32(t)], about[best].Warm[int32(t)]; a != b {
					return a > b
				}
				return len(got[n]) < len(got[best])
			}
			for _, n := range names {
				if n != owner[t] && !slices.Contains(got[n], t) && (best == "" || better(n)) {
					best = n
				}
			}
			if best != "" {
				got[best] = append(got[best], t)
			}
		}
	}
	for _, n := range names {
		sort.Ints(got[n])
	}
	return got
}

// spread gives every task to one member: first to who has it, up to the fair
// share, then to whose copy of it is the newest, within the share too, then the
// rest to who has least. The first members in order of name may have one more
// than the others.
func spread(names []string, wants map[string][]int32, about map[string]userData, tasks []int) map[string][]int {
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
		best := ""
		for _, n := range names {
			at, warm := about[n].Warm[int32(t)]
			if taken[t] || !warm || len(got[n]) > low || len(got[n]) == low && extra == 0 {
				continue
			}
			if best == "" || at > about[best].Warm[int32(t)] {
				best = n
			}
		}
		if best != "" {
			if len(got[best]) == low {
				extra--
			}
			got[best] = append(got[best], t)
			taken[t] = true
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
