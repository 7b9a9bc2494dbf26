package registry

import "context"

// deleteSubject deletes all versions of a subject, softly or, when all are
// deleted softly, for good. It returns their numbers.
func (s *Server) deleteSubject(ctx context.Context, subject string, permanent bool) ([]int, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	numbers, recs, err := s.planSubject(subject, permanent)
	if err != nil {
		return nil, err
	}
	return numbers, s.store(ctx, recs...)
}

func (s *Server) planSubject(subject string, permanent bool) ([]int, []record, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	st := s.state
	all, alive := st.versions(subject, true), st.versions(subject, false)
	switch {
	case len(all) == 0:
		return nil, nil, subjectNotFound(subject)
	case permanent && len(alive) > 0:
		return nil, nil, refuse(codeSubjectNotSoftDeleted, "Subject '%s' was not deleted first before being permanently deleted", subject)
	case !permanent && len(alive) == 0:
		return nil, nil, refuse(codeSubjectSoftDeleted, "Subject '%s' was soft deleted. Set permanent=true to delete permanently", subject)
	}
	if err := st.checkWritable(subject); err != nil {
		return nil, nil, err
	}
	doomed := alive
	if permanent {
		doomed = all
	}
	var numbers []int
	for _, v := range doomed {
		if err := st.checkUnreferenced(v, permanent); err != nil {
			return nil, nil, err
		}
		numbers = append(numbers, v.number)
	}
	if permanent {
		return numbers, st.purge(doomed), nil
	}
	recs := []record{deleteSubjectRecord(subject, numbers[len(numbers)-1])}
	// The settings go with the subject, so that one of the same name starts afresh.
	if _, ok := st.modes[subject]; ok {
		recs = append(recs, settingRecord(keyMode, subject, nil))
	}
	if _, ok := st.levels[subject]; ok {
		recs = append(recs, settingRecord(keyConfig, subject, nil))
	}
	return numbers, recs, nil
}

// deleteVersion deletes one version, given as a number or as latest, softly
// or, when it is deleted softly, for good. It returns its number.
func (s *Server) deleteVersion(ctx context.Context, subject, which string, permanent bool) (int, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	number, recs, err := s.planVersion(subject, which, permanent)
	if err != nil {
		return 0, err
	}
	return number, s.store(ctx, recs...)
}

func (s *Server) planVersion(subject, which string, permanent bool) (int, []record, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	st := s.state
	v, err := st.lookup(subject, which, true)
	if err != nil {
		return 0, nil, err
	}
	switch {
	case permanent && !v.deleted:
		return 0, nil, refuse(codeVersionNotSoftDeleted, "Subject '%s' Version %d was not deleted first before being permanently deleted", subject, v.number)
	case !permanent && v.deleted:
		return 0, nil, refuse(codeVersionSoftDeleted, "Subject '%s' Version %d was soft deleted. Set permanent=true to delete permanently", subject, v.number)
	}
	if err := st.checkWritable(subject); err != nil {
		return 0, nil, err
	}
	if err := st.checkUnreferenced(v, permanent); err != nil {
		return 0, nil, err
	}
	if permanent {
		return v.number, st.purge([]*version{v}), nil
	}
	c := st.byID[v.id]
	return v.number, []record{schemaRecord(schemaValue{Subject: subject, Version: v.number, ID: v.id,
		Type: c.schemaType, References: c.refs, Schema: c.text, Deleted: true})}, nil
}

// purge is what a hard delete writes: the largest id first, because the last
// record that bears it may be among those that go.
func (s *state) purge(doomed []*version) []record {
	recs := []record{maxIDRecord(s.maxID)}
	for _, v := range doomed {
		recs = append(recs, tombstone(v.subject, v.number))
	}
	return recs
}

func (s *state) checkUnreferenced(v *version, permanent bool) error {
	if len(s.referrers(v.subject, v.number, permanent)) > 0 {
		return refuse(codeReferenceExists, "One or more references exist to the schema {magic=1,keytype=SCHEMA,subject=%s,version=%d}.", v.subject, v.number)
	}
	return nil
}
