package registry

import (
	"strings"
)

// described is one version as the API shows it.
type described struct {
	Subject    string      `json:"subject"`
	Version    int         `json:"version"`
	ID         int         `json:"id"`
	Type       string      `json:"schemaType,omitempty"` // absent: AVRO
	References []Reference `json:"references,omitempty"`
	Schema     string      `json:"schema"`
	Deleted    bool        `json:"deleted,omitempty"`
}

func (s *state) describe(v *version) described {
	c := s.byID[v.id]
	return described{v.subject, v.number, v.id, c.schemaType, c.refs, c.text, v.deleted}
}

func (s *Server) listSubjects(c *call) (any, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	prefix := c.URL.Query().Get("subjectPrefix")
	names := s.state.subjectNames(prefix, c.flag("deleted") || c.flag("deletedOnly"))
	if !c.flag("deletedOnly") {
		return names, nil
	}
	only := []string{}
	for _, name := range names {
		if len(s.state.versions(name, false)) == 0 {
			only = append(only, name)
		}
	}
	return only, nil
}

func (s *Server) listSchemas(c *call) (any, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	list := []described{}
	deleted := c.flag("deleted")
	for _, name := range s.state.subjectNames(c.URL.Query().Get("subjectPrefix"), deleted) {
		all := s.state.versions(name, deleted)
		if c.flag("latestOnly") {
			all = all[len(all)-1:]
		}
		for _, v := range all {
			list = append(list, s.state.describe(v))
		}
	}
	return list, nil
}

func (s *Server) listVersions(c *call) (any, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	deletedOnly := c.flag("deletedOnly")
	all := s.state.versions(c.subject, c.flag("deleted") || deletedOnly)
	numbers := []int{}
	for _, v := range all {
		if !deletedOnly || v.deleted {
			numbers = append(numbers, v.number)
		}
	}
	if len(numbers) == 0 {
		return nil, subjectNotFound(c.subject)
	}
	return numbers, nil
}

func (s *Server) getVersion(c *call) (any, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	v, err := s.state.lookup(c.subject, c.PathValue("version"), c.flag("deleted"))
	if err != nil {
		return nil, err
	}
	return s.state.describe(v), nil
}

func (s *Server) getVersionText(c *call) (any, error) {
	d, err := s.getVersion(c)
	if err != nil {
		return nil, err
	}
	return raw(d.(described).Schema), nil
}

func (s *Server) getReferrers(c *call) (any, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	v, err := s.state.lookup(c.subject, c.PathValue("version"), true)
	if err != nil {
		return nil, err
	}
	return s.state.referrers(v.subject, v.number, c.flag("deleted")), nil
}

// contentOf finds what an id of the path stands for. A schema that is deleted
// softly is still there: records that were written with it must be readable.
// The caller holds s.mu to read.
func (s *Server) contentOf(c *call) (*content, int, error) {
	id, err := c.id()
	if err != nil {
		return nil, 0, err
	}
	found := s.state.byID[id]
	if found == nil {
		return nil, 0, refuse(codeSchemaNotFound, "Schema %d not found", id)
	}
	return found, id, nil
}

func (s *Server) getID(c *call) (any, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	found, _, err := s.contentOf(c)
	if err != nil {
		return nil, err
	}
	body := struct {
		Type       string      `json:"schemaType,omitempty"`
		Schema     string      `json:"schema"`
		References []Reference `json:"references,omitempty"`
		MaxID      int         `json:"maxId,omitempty"`
	}{Type: found.schemaType, Schema: found.text, References: found.refs}
	if c.flag("fetchMaxId") {
		body.MaxID = s.state.maxID
	}
	return body, nil
}

func (s *Server) getIDText(c *call) (any, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	found, _, err := s.contentOf(c)
	if err != nil {
		return nil, err
	}
	return raw(found.text), nil
}

func (s *Server) getIDSubjects(c *call) (any, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, id, err := s.contentOf(c)
	if err != nil {
		return nil, err
	}
	names := []string{}
	for _, v := range s.state.bearers(id, c.flag("deleted")) {
		if len(names) == 0 || names[len(names)-1] != v.subject {
			names = append(names, v.subject)
		}
	}
	return names, nil
}

type subjectVersion struct {
	Subject string `json:"subject"`
	Version int    `json:"version"`
}

func (s *Server) getIDVersions(c *call) (any, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, id, err := s.contentOf(c)
	if err != nil {
		return nil, err
	}
	list := []subjectVersion{}
	for _, v := range s.state.bearers(id, c.flag("deleted")) {
		list = append(list, subjectVersion{v.subject, v.number})
	}
	return list, nil
}

func (s *Server) postVersion(c *call) (any, error) {
	var r request
	if err := c.decode(&r); err != nil {
		return nil, err
	}
	id, err := s.register(c.Context(), c.subject, &r, c.flag("normalize"))
	if err != nil {
		return nil, err
	}
	return struct {
		ID int `json:"id"`
	}{id}, nil
}

func (s *Server) lookUp(c *call) (any, error) {
	var r request
	if err := c.decode(&r); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	deleted := c.flag("deleted")
	if len(s.state.versions(c.subject, deleted)) == 0 {
		return nil, subjectNotFound(c.subject)
	}
	p, err := s.state.parse(&r, c.flag("normalize"))
	if err != nil {
		return nil, err
	}
	v := s.state.find(c.subject, p, deleted)
	if v == nil {
		return nil, refuse(codeSchemaNotFound, "Schema not found")
	}
	return s.state.describe(v), nil
}

func (s *Server) dropSubject(c *call) (any, error) {
	return answer(s.deleteSubject(c.Context(), c.subject, c.flag("permanent")))
}

func (s *Server) dropVersion(c *call) (any, error) {
	return answer(s.deleteVersion(c.Context(), c.subject, c.PathValue("version"), c.flag("permanent")))
}

// answer turns a typed result into a handler's.
func answer[T any](v T, err error) (any, error) { return v, err }

func (s *Server) testOne(c *call) (any, error) {
	which := c.PathValue("version")
	return s.test(c, func(st *state) ([]*version, error) {
		v, err := st.lookup(c.subject, which, false)
		if err != nil {
			// A subject that has nothing yet takes anything as its first version.
			if n, bad := parseVersion(which); bad == nil && n == latest {
				return nil, nil
			}
			return nil, err
		}
		return []*version{v}, nil
	})
}

func (s *Server) testAll(c *call) (any, error) {
	return s.test(c, func(st *state) ([]*version, error) {
		return st.versions(c.subject, false), nil
	})
}

// test holds a schema against the chosen versions at the subject's level,
// without registering it. Against all versions, the level decides how far back.
func (s *Server) test(c *call, choose func(*state) ([]*version, error)) (any, error) {
	var r request
	if err := c.decode(&r); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	chosen, err := choose(s.state)
	if err != nil {
		return nil, err
	}
	p, err := s.state.parse(&r, c.flag("normalize"))
	if err != nil {
		return nil, err
	}
	level := s.state.level(c.subject)
	var before []earlier
	for _, v := range chosen {
		a, err := s.state.avroOf(v)
		if err != nil {
			return nil, refuse(codeInvalidSchema, "Version %d of subject '%s' can't be read: %v", v.number, v.subject, err)
		}
		before = append(before, earlier{v.number, a})
	}
	why := conflicts(p.avro, before, level)
	body := struct {
		Compatible bool     `json:"is_compatible"`
		Messages   []string `json:"messages,omitempty"`
	}{Compatible: len(why) == 0}
	if c.flag("verbose") && len(why) > 0 {
		body.Messages = append(why, "compatibility: "+level)
	}
	return body, nil
}

type levelBody struct {
	Level string `json:"compatibilityLevel"`
}

func (s *Server) getConfig(c *call) (any, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if _, own := s.state.levels[c.subject]; c.subject != "" && !own && !c.flag("defaultToGlobal") {
		return nil, refuse(codeNoSubjectConfig, "Subject '%s' does not have subject-level compatibility configured", c.subject)
	}
	return levelBody{s.state.level(c.subject)}, nil
}

func (s *Server) putConfig(c *call) (any, error) {
	var body struct {
		Level string `json:"compatibility"`
	}
	if err := c.decode(&body); err != nil {
		return nil, err
	}
	body.Level = strings.ToUpper(body.Level)
	return body, s.setLevel(c.Context(), c.subject, body.Level)
}

func (s *Server) dropConfig(c *call) (any, error) {
	level, err := s.unsetLevel(c.Context(), c.subject)
	return levelBody{level}, err
}

type modeBody struct {
	Mode string `json:"mode"`
}

func (s *Server) getMode(c *call) (any, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if _, own := s.state.modes[c.subject]; c.subject != "" && !own && !c.flag("defaultToGlobal") {
		return nil, refuse(codeNoSubjectMode, "Subject '%s' does not have subject-level mode configured", c.subject)
	}
	return modeBody{s.state.mode(c.subject)}, nil
}

func (s *Server) putMode(c *call) (any, error) {
	var body modeBody
	if err := c.decode(&body); err != nil {
		return nil, err
	}
	body.Mode = strings.ToUpper(body.Mode)
	return body, s.setMode(c.Context(), c.subject, body.Mode, c.flag("force"))
}

func (s *Server) dropMode(c *call) (any, error) {
	mode, err := s.unsetMode(c.Context(), c.subject)
	return modeBody{mode}, err
}
