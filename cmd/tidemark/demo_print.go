package main

import (
	"fmt"
	"io"
	"sort"
	"strings"
)

// print shows the summary to people.
func (s *demoSummary) print(w io.Writer) {
	fmt.Fprintf(w, "\n%d events of %d customers in %.1f s: %.0f events/s; %d commits, p50 %.1f ms, p99 %.1f ms\n",
		s.Events, s.Customers, s.Seconds, s.PerSecond, s.Commits, s.CommitP50, s.CommitP99)
	for _, name := range sorted(s.Tiers) {
		fmt.Fprintf(w, "\nCustomers by tier (会员等级), %s\n", name)
		s.bars(w, s.order[name], s.Tiers[name])
	}
	for _, name := range sorted(s.Classes) {
		fmt.Fprintf(w, "\nCustomers by RFM class, %s\n", name)
		s.bars(w, s.order[name], s.Classes[name])
	}
	fmt.Fprintln(w, "\nUnder an open churn warning (流失预警)")
	for _, name := range sorted(s.Churn) {
		fmt.Fprintf(w, "  %-24s %9d\n", name, s.Churn[name])
	}
	fmt.Fprintf(w, "\nTriggers by topic and kind, %d in all\n", s.Total)
	for _, t := range s.Triggers {
		fmt.Fprintf(w, "  %-20s %-24s %-10s %9d\n", t.Topic, t.Kind, t.Status, t.Count)
	}
}

func (s *demoSummary) bars(w io.Writer, order []string, by map[string]int64) {
	top := int64(1)
	for _, n := range by {
		top = max(top, n)
	}
	for _, k := range order {
		if n := by[k]; n > 0 {
			fmt.Fprintf(w, "  %-24s %9d %s\n", k, n, strings.Repeat("▇", int(n*30/top)))
		}
	}
}

func sorted[V any](m map[string]V) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}
