package checkpoint

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"tidemark/blobs"
	"tidemark/schemas"
	"tidemark/state"
)

// Format is the version of the manifest that this package writes.
const Format = 1

var (
	// ErrManifest: bytes that are no manifest.
	ErrManifest = errors.New("checkpoint: bad manifest")
	// ErrFormat: a whole manifest that another version of Tidemark wrote.
	ErrFormat = errors.New("checkpoint: manifest of another format")
	// ErrNone: there is no checkpoint that would do.
	ErrNone = errors.New("checkpoint: none that fits")
)

// CorruptError says that a blob is missing or is not what its name says.
type CorruptError struct {
	Key    string
	Detail string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("checkpoint: %s is damaged: %s", e.Key, e.Detail)
}

// Bucket is where checkpoints lie; *blobs.Bucket is one. Get of what is not
// there must wrap blobs.ErrNotFound.
type Bucket interface {
	Put(ctx context.Context, key string, r io.Reader) error
	Get(ctx context.Context, key string) (io.ReadCloser, error)
	Stat(ctx context.Context, key string) (blobs.Entry, error)
	List(ctx context.Context, prefix string) ([]blobs.Entry, error)
	Delete(ctx context.Context, key string) error
}

// Home is the place of one task's checkpoints.
type Home struct {
	Bucket     Bucket
	App        string
	Generation int32 // of the partition count; 0 is taken as 1
	Task       int32
}

func (h *Home) prefix() string {
	return fmt.Sprintf("%s/g%d/task-%05d/", h.App, max(h.Generation, 1), h.Task)
}

func (h *Home) manifests() string           { return h.prefix() + "manifests/" }
func (h *Home) objects() string             { return h.prefix() + "objects/" }
func (h *Home) object(hash string) string   { return h.objects() + hash[:2] + "/" + hash }
func (h *Home) manifest(name string) string { return h.manifests() + name }

// Manifest is one checkpoint: where the task stood, and its files.
type Manifest struct {
	Format       int              `json:"format"`
	App          string           `json:"app"`
	Generation   int32            `json:"generation"`
	Task         int32            `json:"task"`
	Engine       int32            `json:"engine"`
	StoreVersion int              `json:"store_version"`
	Epoch        int32            `json:"epoch"`  // of the producer that committed the position
	Writer       string           `json:"writer"` // the process
	Sequence     int64            `json:"sequence"`
	Hash         string           `json:"hash"` // of the journal record of Sequence, 16 hexadecimal digits
	JournalNext  schemas.Offset   `json:"journal_next"`
	Inputs       []schemas.Offset `json:"inputs"`
	Clock        int64            `json:"clock"` // epoch milliseconds
	Playbook     string           `json:"playbook"`
	Created      time.Time        `json:"created"`
	Files        []File           `json:"files"` // by name

	name string
}

// File is one file of the store.
type File struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
	Data   []byte `json:"data,omitempty"` // a small one's bytes, in base64
}

// Inline says whether the file's bytes stand in the manifest.
func (f *File) Inline() bool { return f.Size <= inlineBytes }

// inlineBytes is up to which size a file stands in the manifest: the options,
// the version's marker, a log without records.
const inlineBytes = 4 << 10

// Bytes is the size of the whole store.
func (m *Manifest) Bytes() int64 {
	var n int64
	for i := range m.Files {
		n += m.Files[i].Size
	}
	return n
}

// Name is the manifest's name within its task.
func (m *Manifest) Name() string { return m.name }

// Name is what a manifest's name says of it.
type Name struct {
	Name     string
	Sequence int64
	Engine   int32
	Epoch    int32
	Modified time.Time
}

func (m *Manifest) encode() ([]byte, error) {
	b, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrManifest, err)
	}
	sum := sha256.Sum256(b)
	book := sha256.Sum256([]byte(m.Playbook))
	m.name = fmt.Sprintf("%019d-%d-%d-%x-%x.json", m.Sequence, m.Engine, max(m.Epoch, 0), book[:4], sum[:16])
	return b, nil
}

func parseName(name string) (Name, bool) {
	base, ok := strings.CutSuffix(name, ".json")
	parts := strings.Split(base, "-")
	if !ok || len(parts) != 5 || len(parts[0]) != 19 || len(parts[3]) != 8 || len(parts[4]) != 32 {
		return Name{}, false
	}
	n := Name{Name: name}
	seq, err1 := strconv.ParseInt(parts[0], 10, 64)
	engine, err2 := strconv.ParseInt(parts[1], 10, 32)
	epoch, err3 := strconv.ParseInt(parts[2], 10, 32)
	if err := cmp.Or(err1, err2, err3); err != nil || seq <= 0 {
		return Name{}, false
	}
	n.Sequence, n.Engine, n.Epoch = seq, int32(engine), int32(epoch)
	return n, true
}

// List returns the names of all checkpoints of the task, the newest position
// first, of one position the newest epoch first. What is no manifest is left out.
func (h *Home) List(ctx context.Context) ([]Name, error) {
	all, err := h.Bucket.List(ctx, h.manifests())
	if err != nil {
		return nil, err
	}
	var out []Name
	for _, e := range all {
		if n, ok := parseName(strings.TrimPrefix(e.Key, h.manifests())); ok {
			n.Modified = e.Modified
			out = append(out, n)
		}
	}
	slices.SortFunc(out, func(a, b Name) int {
		return cmp.Or(cmp.Compare(b.Sequence, a.Sequence), cmp.Compare(b.Epoch, a.Epoch), strings.Compare(b.Name, a.Name))
	})
	return out, nil
}

// maxManifest bounds what is read of a manifest: 100,000 files and more.
const maxManifest = 64 << 20

// Read returns one manifest. A CorruptError if it is not what its name says,
// ErrFormat if this version can't read it.
func (h *Home) Read(ctx context.Context, name string) (*Manifest, error) {
	key := h.manifest(name)
	r, err := h.Bucket.Get(ctx, key)
	if err != nil {
		if errors.Is(err, blobs.ErrNotFound) {
			return nil, &CorruptError{key, "it is not there"}
		}
		return nil, err
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, maxManifest+1))
	if err != nil {
		return nil, fmt.Errorf("checkpoint: read %s: %w", key, err)
	}
	m, err := h.decode(name, b)
	if errors.Is(err, ErrFormat) {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	if err != nil {
		return nil, &CorruptError{key, err.Error()}
	}
	return m, nil
}

func (h *Home) decode(name string, b []byte) (*Manifest, error) {
	n, ok := parseName(name)
	if !ok {
		return nil, fmt.Errorf("%w: its name says nothing", ErrManifest)
	}
	if sum := sha256.Sum256(b); !strings.HasSuffix(name, "-"+hex.EncodeToString(sum[:16])+".json") {
		return nil, fmt.Errorf("%w: its bytes do not have the hash of its name", ErrManifest)
	}
	var m Manifest
	d := json.NewDecoder(bytes.NewReader(b))
	if err := d.Decode(&m); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrManifest, err)
	}
	switch {
	case m.Format != Format:
		return nil, fmt.Errorf("%w: it has format %d, this engine reads %d", ErrFormat, m.Format, Format)
	case m.App != h.App || m.Task != h.Task || max(m.Generation, 1) != max(h.Generation, 1):
		return nil, fmt.Errorf("%w: it is of task %d of %s", ErrManifest, m.Task, m.App)
	case m.Sequence != n.Sequence || m.Engine != n.Engine:
		return nil, fmt.Errorf("%w: it is of position %d and engine %d", ErrManifest, m.Sequence, m.Engine)
	}
	seen := map[string]bool{}
	for i := range m.Files {
		f := &m.Files[i]
		sum, err := hex.DecodeString(f.SHA256)
		switch {
		case f.Name == "" || strings.ContainsAny(f.Name, `/\`) || f.Name == "." || f.Name == ".." || seen[f.Name]:
			return nil, fmt.Errorf("%w: a file is named %q", ErrManifest, f.Name)
		case err != nil || len(sum) != sha256.Size || f.SHA256 != hex.EncodeToString(sum):
			return nil, fmt.Errorf("%w: the hash of %s is %q", ErrManifest, f.Name, f.SHA256)
		case f.Size < 0, f.Inline() && int64(len(f.Data)) != f.Size, !f.Inline() && f.Data != nil:
			return nil, fmt.Errorf("%w: %s has %d bytes", ErrManifest, f.Name, f.Size)
		}
		seen[f.Name] = true
		if got := sha256.Sum256(f.Data); f.Inline() && hex.EncodeToString(got[:]) != f.SHA256 {
			return nil, fmt.Errorf("%w: %s has another hash", ErrManifest, f.Name)
		}
	}
	m.name = name
	return &m, nil
}

// Head is what a manifest says beside its files.
type Head struct {
	Epoch  int32
	Writer string
	Now    time.Time
}

func (h *Home) header(p *state.Position, head Head) *Manifest {
	return &Manifest{Format: Format, App: h.App, Generation: max(h.Generation, 1), Task: h.Task, Engine: p.Engine, StoreVersion: state.StoreVersion,
		Epoch: head.Epoch, Writer: head.Writer, Sequence: p.Sequence, Hash: fmt.Sprintf("%016x", p.Hash), JournalNext: p.JournalNext,
		Inputs: slices.Clone(p.Inputs[:]), Clock: int64(p.Clock), Playbook: p.Playbook, Created: head.Now.UTC()}
}
