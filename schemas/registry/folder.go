package registry

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"sync"

	"github.com/goccy/go-yaml"
	"github.com/hamba/avro/v2"

	"tidemark/schemas"
)

// builtInBase is below the ids of the built-in schemas, and far above those
// that a registry or a person gives out.
const builtInBase = 1_000_000

// BuiltInID returns the id that a Folder gives to a record of package schemas,
// for example "OrderEvent": the same on every machine and in every release. It
// returns 0 for a name that is not built in.
func BuiltInID(record string) int32 {
	i := slices.Index(schemas.Records(), record)
	if i < 0 {
		return 0
	}
	return builtInBase + 1 + int32(i)
}

// Folder keeps schemas as .avsc files in a folder, for use without a registry.
// The built-in schemas are always there, under BuiltInID.
//
// The id of a file stands at the beginning of its name (7.avsc, 7-orders.avsc)
// or in one of registry.json ({"7": "orders.avsc"}) and ids.yaml (7: orders.avsc).
// Other .avsc files are ignored. A schema stands whole in its file: types of
// other files cannot be referred to. The same id with two texts is an error.
//
// A Folder may be used by any number of goroutines, and the folder by several
// processes.
type Folder struct {
	dir string

	mu   sync.Mutex
	byID map[int32]string
}

// OpenFolder reads the folder; it must exist. With "" there are the built-in
// schemas only, and nothing can be registered.
func OpenFolder(dir string) (*Folder, error) {
	f := &Folder{dir: dir}
	if err := f.load(); err != nil {
		return nil, err
	}
	return f, nil
}

var fileID = regexp.MustCompile(`^([0-9]{1,10})([-._].*)?\.avsc$`)

// load reads everything anew; on an error what was known before stays.
func (f *Folder) load() error {
	byID := map[int32]string{}
	for _, record := range schemas.Records() {
		byID[BuiltInID(record)] = schemas.Text(record)
	}
	if f.dir == "" {
		f.byID = byID
		return nil
	}
	names, err := f.names()
	if err != nil {
		return err
	}
	for _, n := range names {
		text, err := os.ReadFile(filepath.Join(f.dir, n.name))
		if err != nil {
			return fmt.Errorf("schema folder: id %d: %w", n.id, err)
		}
		if !json.Valid(text) {
			return fmt.Errorf("schema folder: %s is not JSON", filepath.Join(f.dir, n.name))
		}
		if old, ok := byID[n.id]; ok && !sameJSON(old, string(text)) {
			return fmt.Errorf("schema folder: %s: id %d has another schema already", filepath.Join(f.dir, n.name), n.id)
		}
		byID[n.id] = string(text)
	}
	f.byID = byID
	return nil
}

type named struct {
	id   int32
	name string
}

// names lists the files that have an id.
func (f *Folder) names() (names []named, err error) {
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return nil, fmt.Errorf("schema folder: %w", err)
	}
	for _, e := range entries {
		m := fileID.FindStringSubmatch(e.Name())
		if m == nil || e.IsDir() {
			continue
		}
		id, err := strconv.ParseInt(m[1], 10, 32)
		if err != nil {
			return nil, fmt.Errorf("schema folder: %s: the id is larger than 2147483647", filepath.Join(f.dir, e.Name()))
		}
		names = append(names, named{int32(id), e.Name()})
	}
	for name, parse := range map[string]func([]byte, any) error{
		"registry.json": json.Unmarshal,
		"ids.yaml":      func(text []byte, v any) error { return yaml.Unmarshal(text, v) },
	} {
		path := filepath.Join(f.dir, name)
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("schema folder: %w", err)
		}
		mapping := map[int32]string{}
		if err := parse(text, &mapping); err != nil {
			return nil, fmt.Errorf("schema folder: %s: %w", path, err)
		}
		for id, file := range mapping {
			if !filepath.IsLocal(file) || id < 0 {
				return nil, fmt.Errorf("schema folder: %s: %d: %s is not an id and a file below the folder", path, id, file)
			}
			names = append(names, named{id, file})
		}
	}
	// A fixed order, so that two faults are always reported the same way.
	slices.SortFunc(names, func(a, b named) int {
		if a.id != b.id {
			return cmp.Compare(a.id, b.id)
		}
		return cmp.Compare(a.name, b.name)
	})
	return names, nil
}

// SchemaByID returns the text of a schema; refs is always nil. An id that is
// not known yet is looked for in the folder again. The error is an *Error, of
// kind ErrNotFound, or ErrUnavailable if the folder cannot be read.
func (f *Folder) SchemaByID(ctx context.Context, id int32) (text string, refs []string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if text, ok := f.byID[id]; ok {
		return text, nil, nil
	}
	fail := &Error{Op: fmt.Sprintf("schema %d", id), URL: f.dir, Kind: ErrNotFound}
	if err := f.load(); err != nil {
		fail.Kind, fail.Cause = ErrUnavailable, err
		return "", nil, fail
	}
	if text, ok := f.byID[id]; ok {
		return text, nil, nil
	}
	return "", nil, fail
}

// Register returns the id of the schema that is there, or writes it to a new
// file named by the next free id. Subjects and compatibility are a registry's
// business; a folder ignores subject. The error is an *Error of kind ErrInvalid
// or ErrUnavailable.
func (f *Folder) Register(ctx context.Context, subject, text string) (id int32, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fail := &Error{Op: "register for " + subject, URL: f.dir, Kind: ErrInvalid}
	if _, err := avro.ParseWithCache(text, "", &avro.SchemaCache{}); err != nil || !json.Valid([]byte(text)) {
		fail.Cause = err
		return 0, fail
	}
	fail.Kind = ErrUnavailable
	for {
		if id, ok := f.find(text); ok {
			return id, nil
		}
		if f.dir == "" {
			fail.Detail = "there is no folder, only the built-in schemas"
			return 0, fail
		}
		// Another process may have registered it, or taken the next id.
		if fail.Cause = f.load(); fail.Cause != nil {
			return 0, fail
		}
		if id, ok := f.find(text); ok {
			return id, nil
		}
		id, err := f.write(text)
		if errors.Is(err, fs.ErrExist) && ctx.Err() == nil {
			continue
		}
		if err != nil {
			fail.Cause = err
			return 0, fail
		}
		f.byID[id] = text
		return id, nil
	}
}

// find returns the lowest id of an equal schema.
func (f *Folder) find(text string) (id int32, ok bool) {
	for known, other := range f.byID {
		if (!ok || known < id) && sameJSON(other, text) {
			id, ok = known, true
		}
	}
	return id, ok
}

// write claims the next free id by linking a finished file to its name, which
// fails if the name exists; nobody ever sees half a schema.
func (f *Folder) write(text string) (id int32, err error) {
	for known := range f.byID {
		if known < builtInBase {
			id = max(id, known)
		}
	}
	if id++; id >= builtInBase {
		return 0, errors.New("no id is free")
	}
	file, err := os.CreateTemp(f.dir, ".schema-*")
	if err != nil {
		return 0, err
	}
	defer os.Remove(file.Name())
	_, err = file.WriteString(text)
	if err = errors.Join(err, file.Chmod(0o644), file.Sync(), file.Close()); err != nil {
		return 0, err
	}
	return id, os.Link(file.Name(), filepath.Join(f.dir, fmt.Sprintf("%d.avsc", id)))
}

// sameJSON compares two schemas but for white space.
func sameJSON(a, b string) bool {
	if a == b {
		return true
	}
	var x, y bytes.Buffer
	return json.Compact(&x, []byte(a)) == nil && json.Compact(&y, []byte(b)) == nil && bytes.Equal(x.Bytes(), y.Bytes())
}
