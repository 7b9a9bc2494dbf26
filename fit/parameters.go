package fit

import (
	"fmt"
	"strconv"
	"strings"

	"tidemark/playbook"
	"tidemark/schemas"
)

// Source says what a parameters file was fitted on, for people.
type Source struct {
	Name  string
	Files []string
}

// File is the parameters file, form 1: what the models under their names need in
// a playbook, and beside them, for people, source, fits and what was left out.
// The hash is of the models.
func (r *ChurnReport) File(h *History, s Source) ([]byte, error) {
	var b strings.Builder
	quote := func(s string) string { return strconv.Quote(s) }
	fmt.Fprintf(&b, "# Parameters of churn models, written by tidemark fit churn. A playbook names them:\n")
	fmt.Fprintf(&b, "#   parameters: <this file>#%s\n", r.Recommended)
	fmt.Fprintf(&b, "# What stands under models is part of the playbook's version. Don't change it by\n# hand: the hash would no longer agree, and the precision no longer be measured.\n\n")
	fmt.Fprintf(&b, "tidemark_parameters: 1\nsource:\n  name: %s\n", quote(s.Name))
	if len(s.Files) > 0 {
		quoted := make([]string, len(s.Files))
		for i, f := range s.Files {
			quoted[i] = quote(f)
		}
		fmt.Fprintf(&b, "  files: [%s]\n", strings.Join(quoted, ", "))
	}
	fmt.Fprintf(&b, "  events: %d\n  orders: %d\n  customers: %d\n  first: %s\n  last: %s\n  time_zone: %s\n", h.Events, h.Orders, len(h.Customers), Date(h.First), Date(h.Last), h.Zone)
	fmt.Fprintf(&b, "  calibrated_to: %s      # what comes after was only measured on\n  horizon: %dd\n  customers_measured: %d\n", r.Cut, r.HorizonDays, r.Customers)
	fmt.Fprintf(&b, "recommended: %s\n", r.Recommended)

	b.WriteString("fits:\n")
	for _, m := range r.Models {
		fmt.Fprintf(&b, "  %s: {auc: %s, usable: %v", m.Name, number(m.AUC), m.Usable)
		if l := m.Fit; l != nil {
			fmt.Fprintf(&b, ", log_likelihood: %.4f, converged: %v, identified: %v", l.LogLikelihood, l.Converged, l.Identified)
			for _, e := range l.Estimates {
				if e.Error != nil {
					fmt.Fprintf(&b, ", %s_error: %s", e.Name, number(*e.Error))
				}
			}
		}
		if notes := m.notes(); len(notes) > 0 {
			fmt.Fprintf(&b, ", note: %s", quote(strings.Join(notes, "; ")))
		}
		b.WriteString("}\n")
	}
	models := r.models(h, s)
	hash, err := playbook.ParametersHash([]byte(models), "parameters")
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(&b, "hash: \"%s\"\n%s", hash, models)
	return []byte(b.String()), nil
}

func (m *Model) notes() []string {
	out := append([]string(nil), m.Notes...)
	if m.Fit != nil {
		out = append(out, m.Fit.Notes...)
	}
	return out
}

func (r *ChurnReport) models(h *History, s Source) string {
	var b strings.Builder
	b.WriteString("models:\n")
	from := fmt.Sprintf("%s, %s to %s", s.Name, Date(h.First), r.Cut)
	if len(from) > 400 {
		from = from[:400]
	}
	for _, m := range r.Models {
		if !m.Usable {
			continue
		}
		model := m.Name
		if model == "hiatus-bands" {
			model = "hiatus"
		}
		fmt.Fprintf(&b, "  %s:\n    model: %s\n    from: %s\n    horizon: %dd\n    base_rate: %s\n", m.Name, model, strconv.Quote(from), r.HorizonDays, number(r.BaseRate))
		var rows []string
		if model == "hiatus" {
			for _, l := range m.Levels {
				if l.Point != nil {
					rows = append(rows, fmt.Sprintf("{at: %s, is: %s}", l.Name, number(l.Point.Precision)))
				}
			}
		}
		if m.Name != "hiatus-bands" {
			for _, p := range m.Table {
				rows = append(rows, fmt.Sprintf("{at: %s, is: %s}", number(p.At), number(p.Precision)))
			}
		}
		if len(rows) > 0 {
			fmt.Fprintf(&b, "    precision: [%s]\n", strings.Join(rows, ", "))
		}
		switch m.Name {
		case "hiatus":
			b.WriteString("    bands:\n      - {orders: 1")
			for _, l := range m.Levels {
				fmt.Fprintf(&b, ", %s: %sd", l.Name, number(l.At))
			}
			b.WriteString("}\n")
		case "hiatus-bands":
			b.WriteString("    bands:\n")
			for _, x := range m.Bands {
				fmt.Fprintf(&b, "      - {orders: %d, early: %dd, late: %dd, lost: %dd}\n", x.Orders, x.Early, x.Late, x.Lost)
			}
		case "cycle":
			fmt.Fprintf(&b, "    gap: %s\n    weight: %d\n", playbook.FormatDuration(m.gap-m.gap%schemas.Minute), m.weight)
		case "return-curve":
			b.WriteString("    curve:\n")
			for _, c := range m.Curves {
				var days, away []string
				for _, k := range c.Curve {
					days = append(days, strconv.FormatInt(int64(k.At/schemas.Day), 10))
					away = append(away, number(float64(k.Stay)/1e6))
				}
				fmt.Fprintf(&b, "      - orders: %d\n        days: [%s]\n        away: [%s]\n", c.Orders, strings.Join(days, ", "), strings.Join(away, ", "))
			}
		default:
			fmt.Fprintf(&b, "    r: %s\n    alpha: %s\n    a: %s\n    b: %s\n    unit: 1w\n", number(m.params.R), number(m.params.Alpha), number(m.params.A), number(m.params.B))
		}
		if r.Spend != nil && r.Spend.Converged {
			fmt.Fprintf(&b, "    spend: {p: %s, q: %s, gamma: %s}\n", number(r.spend.P), number(r.spend.Q), number(r.spend.Gamma))
		}
	}
	return b.String()
}

// number is a decimal with at most six places and no exponent.
func number(x float64) string {
	s := strconv.FormatFloat(x, 'f', 6, 64)
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}

// Block is what to paste into a playbook: one rule with the model of that name,
// its parameters in file.
func (r *ChurnReport) Block(model, file string) string {
	for _, m := range r.Models {
		if m.Name != model {
			continue
		}
		var b strings.Builder
		name := m.Name
		if name == "hiatus-bands" {
			name = "hiatus"
		}
		fmt.Fprintf(&b, "churn:\n  - name: silent\n    model: %s\n    parameters: %s#%s\n", name, file, m.Name)
		if name == "hiatus" {
			return b.String()
		}
		if name != "cycle" {
			fmt.Fprintf(&b, "    horizon: %dd\n", r.HorizonDays)
		}
		b.WriteString("    levels: {")
		for i, l := range m.Levels {
			if i > 0 {
				b.WriteString(", ")
			}
			fmt.Fprintf(&b, "%s: %s", l.Name, number(l.At))
		}
		b.WriteString("}\n")
		if name != "cycle" {
			b.WriteString("    fallback: {")
			last := 0
			for i, l := range m.Levels {
				if i > 0 {
					b.WriteString(", ")
				}
				last = max(last, r.Fallback[l.Name])
				fmt.Fprintf(&b, "%s: %dd", l.Name, last)
			}
			b.WriteString("}\n")
		}
		return b.String()
	}
	return ""
}
