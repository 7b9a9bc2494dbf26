package registry

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// state is what the topic says, as far as it has been read. It has no lock of its own.
//
// Invariants: an id stands in byID as long as a version, deleted softly or not,
// bears it; ids[contentKey] is the smallest id of that content; maxID is at
// least the largest id that any record of the topic ever bore.
type state struct {
	subjects map[string]map[int]*version
	byID     map[int]*content
	ids      map[string]int
	levels   map[string]string // by subject, "" is global
	modes    map[string]string
	maxID    int
}

type version struct {
	subject string
	number  int
	id      int
	deleted bool
}

// content is what an id stands for.
type content struct {
	schemaType string // "" is Avro
	text       string
	refs       []Reference
	uses       int // versions that bear the id
}

func newState() *state {
	return &state{subjects: map[string]map[int]*version{}, byID: map[int]*content{}, ids: map[string]int{},
		levels: map[string]string{}, modes: map[string]string{}}
}

func (c *content) key() string { return c.schemaType + "\x00" + contentKey(c.text, c.refs) }

func (s *state) put(v schemaValue) error {
	if v.Type == avroType {
		v.Type = ""
	}
	c := &content{schemaType: v.Type, text: v.Schema, refs: v.References}
	key := c.key()
	if old := s.byID[v.ID]; old == nil {
		s.byID[v.ID] = c
	} else if old.key() != key {
		return fmt.Errorf("id %d of subject %q version %d already stands for another schema", v.ID, v.Subject, v.Version)
	}
	if id, known := s.ids[key]; !known || v.ID < id {
		s.ids[key] = v.ID
	}
	s.maxID = max(s.maxID, v.ID)
	s.byID[v.ID].uses++ // before the replaced version lets go, or the id could vanish
	s.remove(v.Subject, v.Version)
	if s.subjects[v.Subject] == nil {
		s.subjects[v.Subject] = map[int]*version{}
	}
	s.subjects[v.Subject][v.Version] = &version{v.Subject, v.Version, v.ID, v.Deleted}
	return nil
}

func (s *state) remove(subject string, number int) {
	v := s.subjects[subject][number]
	if v == nil {
		return
	}
	delete(s.subjects[subject], number)
	if len(s.subjects[subject]) == 0 {
		delete(s.subjects, subject)
	}
	c := s.byID[v.id]
	if c.uses--; c.uses > 0 {
		return
	}
	delete(s.byID, v.id)
	if key := c.key(); s.ids[key] == v.id {
		delete(s.ids, key)
		for id, other := range s.byID { // an import can give one schema several ids
			if other.key() == key && (s.ids[key] == 0 || id < s.ids[key]) {
				s.ids[key] = id
			}
		}
	}
}

func (s *state) softDelete(subject string, upTo int) {
	for _, v := range s.subjects[subject] {
		if v.number <= upTo {
			v.deleted = true
		}
	}
}

// versions are a subject's versions in ascending order.
func (s *state) versions(subject string, deleted bool) []*version {
	var list []*version
	for _, v := range s.subjects[subject] {
		if deleted || !v.deleted {
			list = append(list, v)
		}
	}
	slices.SortFunc(list, func(a, b *version) int { return cmp.Compare(a.number, b.number) })
	return list
}

func (s *state) subjectNames(prefix string, deleted bool) []string {
	names := []string{}
	for _, name := range slices.Sorted(maps.Keys(s.subjects)) {
		if strings.HasPrefix(name, prefix) && len(s.versions(name, deleted)) > 0 {
			names = append(names, name)
		}
	}
	return names
}

// bearers are the versions, of all subjects, that bear an id, by subject and number.
func (s *state) bearers(id int, deleted bool) []*version {
	var list []*version
	for _, name := range s.subjectNames("", deleted) {
		for _, v := range s.versions(name, deleted) {
			if v.id == id {
				list = append(list, v)
			}
		}
	}
	return list
}

// referrers are the ids of the schemas that refer to a version. Without
// deleted only those count that some version bears which is not deleted.
func (s *state) referrers(subject string, number int, deleted bool) []int {
	ids := []int{}
	for id, c := range s.byID {
		refers := slices.ContainsFunc(c.refs, func(r Reference) bool { return r.Subject == subject && r.Version == number })
		if refers && len(s.bearers(id, deleted)) > 0 {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

func (s *state) level(subject string) string {
	return cmp.Or(s.levels[subject], s.levels[""], levelBackward)
}

func (s *state) mode(subject string) string {
	return cmp.Or(s.modes[subject], s.modes[""], modeReadWrite)
}

// resolve is a resolver over what is registered, softly deleted or not: what
// was registered once must stay readable.
func (s *state) resolve(subject string, number int) (string, []Reference, error) {
	v := s.subjects[subject][number]
	if v == nil {
		return "", nil, fmt.Errorf("no schema reference found for subject %q and version %d", subject, number)
	}
	c := s.byID[v.id]
	if c.schemaType != "" {
		return "", nil, fmt.Errorf("referenced schema %s version %d is of type %s", subject, number, c.schemaType)
	}
	return c.text, c.refs, nil
}
