package registry

import (
	"context"
	"slices"
	"strings"
)

// Modes. Import takes ids and versions from the request and checks no compatibility.
const (
	modeReadWrite = "READWRITE"
	modeReadOnly  = "READONLY"
	modeImport    = "IMPORT"
)

func parseMode(s string) (string, error) {
	if mode := strings.ToUpper(s); slices.Contains([]string{modeReadWrite, modeReadOnly, modeImport}, mode) {
		return mode, nil
	}
	return "", refuse(codeInvalidMode, "Invalid mode. Valid values are READWRITE, READONLY, IMPORT")
}

// setLevel sets the compatibility level of a subject, or the global one if subject is empty.
func (s *Server) setLevel(ctx context.Context, subject, level string) error {
	level, err := parseLevel(level)
	if err != nil {
		return err
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	if err := s.allowed(subject); err != nil {
		return err
	}
	return s.store(ctx, settingRecord(keyConfig, subject, configValue{level}))
}

// unsetLevel falls back to the global level, or to BACKWARD, and returns the level that was set.
func (s *Server) unsetLevel(ctx context.Context, subject string) (string, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	if err := s.allowed(subject); err != nil {
		return "", err
	}
	s.mu.RLock()
	level, ok := s.state.levels[subject]
	s.mu.RUnlock()
	if !ok && subject == "" {
		return levelBackward, nil
	}
	if !ok {
		return "", subjectNotFound(subject)
	}
	return level, s.store(ctx, settingRecord(keyConfig, subject, nil))
}

// setMode sets the mode of a subject, or the global one if subject is empty.
// Import is for what is empty, unless forced: its ids could contradict those handed out.
func (s *Server) setMode(ctx context.Context, subject, mode string, force bool) error {
	mode, err := parseMode(mode)
	if err != nil {
		return err
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.RLock()
	now, any := s.state.mode(subject), len(s.state.versions(subject, false)) > 0
	if subject == "" {
		any = len(s.state.subjectNames("", false)) > 0
	}
	s.mu.RUnlock()
	if mode == modeImport && now != modeImport && any && !force {
		return refuse(codeNotPermitted, "Cannot import since found existing subjects")
	}
	return s.store(ctx, settingRecord(keyMode, subject, modeValue{mode}))
}

// unsetMode falls back to the global mode, or to READWRITE, and returns the mode that was set.
func (s *Server) unsetMode(ctx context.Context, subject string) (string, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.RLock()
	mode, ok := s.state.modes[subject]
	s.mu.RUnlock()
	if !ok && subject == "" {
		return modeReadWrite, nil
	}
	if !ok {
		return "", subjectNotFound(subject)
	}
	return mode, s.store(ctx, settingRecord(keyMode, subject, nil))
}

func (s *Server) allowed(subject string) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.state.checkWritable(subject)
}
