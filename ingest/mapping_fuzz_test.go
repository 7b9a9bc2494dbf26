package ingest

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"tidemark/testkit/soak"
)

// The mappings and the CSV files of the scripts, as seeds.
func scriptInputs(f testing.TB) (mappings, files []string) {
	f.Helper()
	paths, err := filepath.Glob("testdata/scripts/*")
	if err != nil || len(paths) == 0 {
		f.Fatal("no scripts", err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?ms)^(mapping|csv)[^\n]*\n(.*?)\n----$`).FindAllStringSubmatch(string(text), -1) {
			if m[1] == "mapping" {
				mappings = append(mappings, m[2]+"\n")
			} else {
				files = append(files, m[2]+"\n")
			}
		}
	}
	if len(mappings) < 3 || len(files) < 3 {
		f.Fatalf("%d mappings and %d files only", len(mappings), len(files))
	}
	return mappings, files
}

// FuzzMapping: every text is a mapping or a *MappingError that says where.
func FuzzMapping(f *testing.F) { fuzzMapping(f) }

func fuzzMapping(f soak.F) {
	mappings, _ := scriptInputs(f)
	for _, m := range mappings {
		f.Add([]byte(m))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := ParseMapping("fuzz.yaml", text)
		if (m == nil) == (err == nil) {
			t.Fatalf("mapping %v, error %v", m, err)
		}
		var e *MappingError
		if err != nil && (!errors.As(err, &e) || len(e.Faults) == 0 || err.Error() == "") {
			t.Fatalf("error %#v", err)
		}
	})
}

// FuzzCSV takes any bytes for a CSV file under the mappings of the scripts: no
// line is lost, the events are sorted and sound, and the same file gives the
// same events again.
func FuzzCSV(f *testing.F) { fuzzCSV(f) }

func fuzzCSV(f soak.F) {
	texts, files := scriptInputs(f)
	var mappings []*Mapping
	for _, text := range texts {
		if m, err := ParseMapping("shop.mapping.yaml", []byte(text)); err == nil {
			mappings = append(mappings, m)
		}
	}
	for i := range mappings {
		for _, file := range files {
			f.Add(uint8(i), []byte(file))
		}
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, which uint8, file []byte) {
		m := mappings[int(which)%len(mappings)]
		first, report := ingested(t, dir, m, file)
		second, _ := ingested(t, dir, m, file)
		if first != second {
			t.Fatalf("the second time\n%s\nnot\n%s", second, first)
		}
		if report != nil && report.Events != int64(strings.Count(first, "\n")) {
			t.Fatalf("%d events reported, %d given", report.Events, strings.Count(first, "\n"))
		}
	})
}

func ingested(t *testing.T, dir string, m *Mapping, file []byte) (string, *Report) {
	// In memory as a file system, as a name from outside would come.
	s := Source{FS: fstest.MapFS{"shop.csv": {Data: file}}, Path: "shop.csv", Mapping: m}
	events, err := Open(context.Background(), []Source{s}, Options{TempDir: dir, MaxProblems: -1, Workers: 1})
	if err != nil {
		return "error: " + err.Error(), nil
	}
	defer events.Close()
	var out strings.Builder
	for {
		e, err := events.Next()
		if err == io.EOF {
			r := events.Report()
			var skipped int64
			for _, k := range r.Skipped {
				skipped += k.Lines
			}
			if r.Lines < skipped+r.ProblemLines {
				t.Fatalf("more lost than there was: %+v", r)
			}
			return out.String(), &r
		}
		if err != nil {
			t.Fatal(err)
		}
		if e.CustomerID == "" || e.EventID == "" {
			t.Fatalf("event %+v", e)
		}
		if err := WriteJSONL(&out, e); err != nil {
			t.Fatalf("%+v: %v", e, err)
		}
	}
}
