package schemas

import (
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/hamba/avro/v2"
)

// testdata/released/<n> holds the schemas as release n published them, and for
// each record that the package writes the bytes of one sample. Nothing in it is
// ever changed. Who changes a schema adds the folder n+1 with every schema and,
// with -rewrite, its samples.
var rewrite = flag.Bool("rewrite", false, "write the samples of the newest folder of testdata/released")

// releases returns the folders of testdata/released, oldest first.
func releases(t *testing.T) (folders []string) {
	t.Helper()
	for n := 1; ; n++ {
		folder := filepath.Join("testdata", "released", strconv.Itoa(n))
		if _, err := os.Stat(folder); err != nil {
			break
		}
		folders = append(folders, folder)
	}
	all, err := os.ReadDir(filepath.Join("testdata", "released"))
	if err != nil || len(all) != len(folders) || len(folders) == 0 {
		t.Fatalf("%d folders in testdata/released, numbered from 1: %d, %v", len(all), len(folders), err)
	}
	return folders
}

// backward returns why the reader's schema cannot read all that was written
// under the writer's, in the sense of the registry's level BACKWARD.
func backward(reader, writer string) error {
	r, err := avro.ParseWithCache(reader, "", &avro.SchemaCache{})
	if err != nil {
		return err
	}
	w, err := avro.ParseWithCache(writer, "", &avro.SchemaCache{})
	if err != nil {
		return err
	}
	return avro.NewSchemaCompatibility().Compatible(r, w)
}

// withoutDocs is a schema with everything that readers depend on and no prose.
func withoutDocs(t *testing.T, text string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	var strip func(any)
	strip = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				strip(e)
			}
		case map[string]any:
			delete(v, "doc")
			for _, e := range v {
				strip(e)
			}
		}
	}
	strip(v)
	return v
}

func TestSchemasAreBackwardCompatible(t *testing.T) {
	folders := releases(t)
	for i, folder := range folders {
		paths, err := filepath.Glob(filepath.Join(folder, "*.avsc"))
		if err != nil || len(paths) == 0 {
			t.Fatalf("%s: no schemas, %v", folder, err)
		}
		released := map[string]string{}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var head avroRecord
			if err := json.Unmarshal(text, &head); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			released[head.Name] = string(text)
			today := Text(head.Name)
			if today == "" {
				t.Errorf("%s: %s was released and is gone", path, head.Name)
				continue
			}
			if err := backward(today, string(text)); err != nil {
				t.Errorf("today's %s cannot read what was written under %s: %v", head.Name, path, err)
			}
		}
		if i < len(folders)-1 {
			continue
		}
		for _, record := range Records() {
			text, ok := released[record]
			if !ok {
				t.Errorf("%s does not hold %s: add a folder with every schema", folder, record)
			} else if !reflect.DeepEqual(withoutDocs(t, Text(record)), withoutDocs(t, text)) {
				t.Errorf("%s differs from the one in %s: add a folder with every schema", record, folder)
			}
		}
	}
}

// The check above is worth what it refuses.
func TestBackwardRefuses(t *testing.T) {
	old := Text("TierChange")
	replace := func(a, b string) string {
		if !strings.Contains(old, a) {
			t.Fatalf("%q is not in the schema", a)
		}
		return strings.Replace(old, a, b, 1)
	}
	for name, c := range map[string]struct {
		text string
		ok   bool
	}{
		"unchanged":               {old, true},
		"a field with default":    {replace(`"fields": [`, `"fields": [{"name": "new", "type": "string", "default": ""},`), true},
		"a field without default": {replace(`"fields": [`, `"fields": [{"name": "new", "type": "string"},`), false},
		"a field renamed":         {replace(`"name": "program"`, `"name": "programme"`), false},
		"a type changed":          {replace(`"name": "growth_value", "type": "long"`, `"name": "growth_value", "type": "int"`), false},
		"a type widened":          {replace(`"name": "from_level", "type": "int"`, `"name": "from_level", "type": "long"`), true},
		"null taken away":         {replace(`["null", "string"], "doc"`, `"string", "doc"`), false},
	} {
		if err := backward(c.text, old); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// sample sets everything under v to a value of its own.
func sample(v reflect.Value, n *int64) {
	*n++
	switch v.Type() {
	case typeOfBytes:
		v.SetBytes(fmt.Appendf(nil, "bytes %d", *n))
		return
	case typeOfAttributes:
		v.Set(reflect.ValueOf([]Attribute{{"b", fmt.Sprint(*n)}, {"a", "甲"}}))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			sample(v.Field(i), n)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		sample(v.Elem(), n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		sample(v.Index(0), n)
		sample(v.Index(1), n)
	case reflect.String:
		v.SetString(fmt.Sprintf("文字 %d", *n))
	case reflect.Int32:
		v.SetInt(-*n)
	case reflect.Int64:
		v.SetInt(*n << 33)
	case reflect.Float64:
		v.SetFloat(float64(*n) / 1e6)
	case reflect.Bool:
		v.SetBool(true)
	}
}

// The newest samples are what is written today, byte for byte; the internal
// records of every release are read still.
func TestReleasedBytes(t *testing.T) {
	folders := releases(t)
	newest := folders[len(folders)-1]
	for _, empty := range emptyRecords() {
		name := NameOf(empty)
		v := reflect.New(reflect.TypeOf(empty).Elem())
		var n int64
		sample(v.Elem(), &n)
		today := v.Interface().(Record).AppendAvro(nil)
		if *rewrite {
			text := hex.Dump(today)
			if err := os.WriteFile(filepath.Join(newest, name+".hex"), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		for _, folder := range folders {
			path := filepath.Join(folder, name+".hex")
			text, err := os.ReadFile(path)
			if os.IsNotExist(err) && folder != newest {
				continue // younger than this release
			}
			if err != nil {
				t.Fatal(err)
			}
			body := undump(t, string(text))
			if folder == newest && !slices.Equal(body, today) {
				t.Errorf("%s is written as\n%s, released as\n%s", name, hex.Dump(today), text)
			}
			if decode := internalDecoders[name]; decode != nil {
				got, err := decode(body)
				if err != nil {
					t.Errorf("%s: %v", path, err)
				} else if folder == newest && !reflect.DeepEqual(got, v.Interface()) {
					t.Errorf("%s: got %+v, want %+v", path, got, v.Interface())
				}
			}
		}
	}
}

// undump reads what hex.Dump writes.
func undump(t *testing.T, text string) (b []byte) {
	t.Helper()
	for line := range strings.Lines(text) {
		digits := strings.ReplaceAll(line[10:58], " ", "")
		part, err := hex.DecodeString(digits)
		if err != nil {
			t.Fatal(err)
		}
		b = append(b, part...)
	}
	return b
}
