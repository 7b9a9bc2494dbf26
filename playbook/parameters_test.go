package playbook

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const parametersText = `tidemark_parameters: 1
source: {name: a shop}
models:
  bgnbd:
    model: bgnbd
    from: "a shop, 2023: all orders"
    r: 0.243
    alpha: 4.414
    a: 0.793
    b: 2.426
    unit: 1w
    horizon: 39w
    base_rate: 0.41
    precision: [{at: 0.5, is: 0.6}, {at: 0.8, is: 0.85}]
`

const referringText = `playbook: shop
time_zone: UTC
currency: USD
churn:
  - {name: a, model: bgnbd, parameters: fit.yaml#bgnbd, horizon: 39w, threshold: .7, fallback: 119d}
  - name: b
    model: bgnbd
    parameters: "fit.yaml#bgnbd"   # in quotes
    horizon: 13w
    threshold: .8
    fallback: 119d
`

func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "shop.yaml")
}

// TestParametersBecomeText: the compiled text is whole, so a task that gets it
// through the control topic needs no file.
func TestParametersBecomeText(t *testing.T) {
	path := folder(t, map[string]string{"shop.yaml": referringText, "fit.yaml": parametersText})
	pb, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Compile(pb.Text, "control topic")
	if err != nil {
		t.Fatalf("the resolved text does not compile: %v\n%s", err, pb.Text)
	}
	if got, want := again.Version, pb.Version; got != want {
		t.Errorf("version %s, and %s from its own text", got, want)
	}
	a, b := again.Churn[0], again.Churn[1]
	if a.R != .243 || a.Alpha != 4.414 || b.B != 2.426 || a.Unit != 7*24*3600*1000 {
		t.Errorf("parameters: %+v", a)
	}
	// .7 takes the row of .5; the other rule has another horizon than the fit.
	if p := a.Levels[0].Precision; p == nil || *p != .6 || a.BaseRate == nil || *a.BaseRate != .41 {
		t.Errorf("precision %v of %v", p, a.BaseRate)
	}
	if b.Levels[0].Precision != nil || b.BaseRate != nil {
		t.Error("figures for 39 weeks stand in a rule for 13")
	}
	if lines := strings.Count(string(pb.Text), "\n"); lines != strings.Count(referringText, "\n") {
		t.Errorf("%d lines", lines)
	}
	// Another fit is another version.
	other, err := Load(folder(t, map[string]string{"shop.yaml": referringText, "fit.yaml": strings.Replace(parametersText, "2.426", "2.427", 1)}))
	if err != nil {
		t.Fatal(err)
	}
	if other.Version == pb.Version {
		t.Error("another fit has the same version")
	}
}

func TestParametersRefused(t *testing.T) {
	hash, err := ParametersHash([]byte(parametersText), "fit.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Load(folder(t, map[string]string{"shop.yaml": referringText, "fit.yaml": parametersText + "hash: " + hash + "\n"})); err != nil {
		t.Errorf("with its hash: %v", err)
	}
	for _, c := range []struct{ fit, want string }{
		{strings.Replace(parametersText, "bgnbd:", "bgnd:", 1), `shop.yaml:5:41: churn[0].parameters: fit.yaml has no parameters "bgnbd", did you mean "bgnd"?`},
		{strings.Replace(parametersText, "0.243", "0.25", 1) + "hash: " + hash + "\n", "fit.yaml was changed since it was fitted"},
		{"a: 1\n", "fit.yaml is not a file of parameters"},
		{strings.Replace(parametersText, "parameters: 1", "parameters: 2", 1), `fit.yaml has the form "2"`},
		{"a: [", "churn[1].parameters: fit.yaml:1:"},
		{strings.Replace(parametersText, "0.793", "none", 1), `shop.yaml:5:`},
	} {
		_, err := Load(folder(t, map[string]string{"shop.yaml": referringText, "fit.yaml": c.fit}))
		var e *Errors
		if !errors.As(err, &e) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
	if _, err := Load(folder(t, map[string]string{"shop.yaml": referringText})); err == nil || !strings.Contains(err.Error(), "can't read the parameters") {
		t.Errorf("without the file: %v", err)
	}
}
